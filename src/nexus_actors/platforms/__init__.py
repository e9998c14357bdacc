"""What a platform's publisher and collector share: clients, errors, logins."""

"""What Instagram and Facebook have in common: the Graph API and Facebook Login."""

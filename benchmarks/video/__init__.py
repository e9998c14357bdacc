"""What a whole video job takes."""

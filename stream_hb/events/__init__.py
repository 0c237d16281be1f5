"""Message payloads in, columns of valid events and rejects with their reason out."""

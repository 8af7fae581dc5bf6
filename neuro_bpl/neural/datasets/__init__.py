"""Published recordings, one a file, named by author and year: their own formats as recorded sessions."""

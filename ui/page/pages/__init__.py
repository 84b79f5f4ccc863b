"""The pages, one file each: parse, one call to a service, render."""

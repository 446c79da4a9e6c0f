"""`make init`: looks at source files and writes an application's file of config/applications."""

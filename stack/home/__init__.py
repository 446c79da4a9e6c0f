"""The home page: links to every web page of the stack and their state, data docs and dbt docs."""

"""The rules file: YAML with positions becomes rules, or problems with line and column."""

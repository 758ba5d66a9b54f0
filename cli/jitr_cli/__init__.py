"""The command line: thin edges around the library, for developers and operators."""

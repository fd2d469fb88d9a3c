"""What is served: where a release comes from, how it is proved and swapped in, and the one thread that infers."""

"""What the machine gives: threads, memory, a Java, files that are whole, and when to compile."""

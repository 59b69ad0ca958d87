"""What the machine gives: threads, memory and its speed, a Java, whole files, when to compile."""

"""What the measuring commands share: the machine, the targets, the scenarios, the tables and the plots."""

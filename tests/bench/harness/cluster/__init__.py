"""Three nodes on one machine: each record on three disks (here one), beside peers that do the same."""

"""Pages for people, on the HTTP port of each desk under `/ui/`: files that lie beside this one."""

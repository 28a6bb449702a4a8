"""Stand-ins for the remote services, each speaking the wire protocol of the one it stands for."""

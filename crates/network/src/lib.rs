//! Bridges, endpoints, ports, firewall, DNS, overlay.

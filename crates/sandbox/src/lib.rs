//! Runs a process in namespaces over an overlay root, as root or as an ordinary user.

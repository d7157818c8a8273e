//! A Dockerfile build engine: no daemon, no root, no container runtime.

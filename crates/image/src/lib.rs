//! Digests, descriptors, image configuration and layer entries as stable, byte-reproducible values.

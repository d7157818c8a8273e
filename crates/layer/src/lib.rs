//! Layers: tar writing and reading, the index of a layer, overlay upper directories, compression, safe unpacking.

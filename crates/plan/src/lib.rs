//! From a syntax tree, build arguments and base configurations to a graph of build steps. Pure.

//! The pattern matcher of .dockerignore, --exclude and --parents, as moby has it. Pure.

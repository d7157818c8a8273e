//! A content-addressed store that is an OCI image layout on disk: blobs, snapshots, records, tags, leases.

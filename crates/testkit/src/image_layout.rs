//! Images that none of our code made.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Skipped, run};

const OCI: &str = "application/vnd.oci.image";

/// Makes an OCI image layout with one image, called `latest`, of these layers, the lowest first. The
/// archives are compressed and moved.
///
/// # Panics
/// When the folder exists, or cannot be written.
pub fn image_layout(layout: &Path, archives: &[PathBuf]) -> Result<(), Skipped> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("the folder is new");
    let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
    for archive in archives {
        diff_ids.push(format!("sha256:{}", sha256(archive)?));
        run("gzip", &["-n", text(archive)])?;
        let packed = PathBuf::from(format!("{}.gz", text(archive)));
        layers.push(add(&blobs, &packed, "layer.v1.tar+gzip")?);
    }
    let document = |name: &str, kind: &str, value: &Value| {
        let path = layout.join(name);
        fs::write(&path, value.to_string()).expect("the folder is new");
        add(&blobs, &path, &format!("{kind}.v1+json"))
    };
    let architecture = run("dpkg", &["--print-architecture"])?;
    let history: Vec<Value> = layers.iter().map(|_| json!({ "created_by": "made" })).collect();
    let config = json!({
        "architecture": architecture.trim(),
        "os": "linux",
        "config": { "Cmd": ["bash"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let config = document("config", "config", &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format!("{OCI}.manifest.v1+json"),
        "config": config,
        "layers": layers,
    });
    let mut manifest = document("manifest", "manifest", &manifest)?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string();
    fs::write(layout.join("index.json"), index).expect("the folder is new");
    let marker = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
    fs::write(layout.join("oci-layout"), marker).expect("the folder is new");
    Ok(())
}

/// Moves a file to its digest and returns its descriptor.
fn add(blobs: &Path, file: &Path, kind: &str) -> Result<Value, Skipped> {
    let digest = sha256(file)?;
    let size = fs::metadata(file).expect("the file is there").len();
    fs::rename(file, blobs.join(&digest)).expect("the folder is on the same file system");
    let media_type = format!("{OCI}.{kind}");
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size }))
}

fn sha256(file: &Path) -> Result<String, Skipped> {
    let line = run("sha256sum", &[text(file)])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

/// A path as an argument of a program.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("folders of tests have plain names")
}

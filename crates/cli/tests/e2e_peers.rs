//! Images as tools see them that others wrote: skopeo and umoci.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;

use dfbuild_testkit::{Bed, Bundle, Differ, Skipped, as_each_user, differences, run};

as_each_user!(skopeo_reads_the_store_and_converts_it, umoci_unpacks_what_local_output_writes);

/// A bit of everything that a layer can hold and an ordinary user can make.
const DOCKERFILE: &str = r#"FROM base
WORKDIR /srv/app
COPY tree tree
COPY --chown=1000:1000 --chmod=2755 file /else/where/script
RUN echo one > one && ln one two && ln -s /srv/app/one three && mkfifo pipe && chmod 4711 one \
    && mkdir -p empty sticky gone/deep && chmod 1777 sticky && touch gone/deep/file
RUN rm -r gone && rm tree/a && mkdir tree/a && echo x > tree/a/x && rm -r sticky && echo s > sticky
RUN rm -r tree/dir && mkdir tree/dir && echo new > tree/dir/new && chmod 700 tree/dir && mv one four
COPY <<EOF tree/dir/heredoc
text
EOF
ENV A=b
EXPOSE 80
ENTRYPOINT ["/bin/sh"]
"#;

fn fill(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", DOCKERFILE);
    for name in ["file", "tree/a", "tree/dir/old", "tree/dir/deep/older", "tree/ünï çödé"] {
        bed.write(name, name);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn skopeo_reads_the_store_and_converts_it(bed: &Bed) -> Result<(), Skipped> {
    fill(bed);
    let archive = bed.join("out/oci.tar");
    let output = format!("type=oci,dest={}", archive.display());
    let built = bed.build(&["-t", "me/app:1.0", "-t", "app", "-o", &output]).succeeds();
    let store = format!("oci:{}", bed.store().display());
    for name in ["app:latest", "me/app:1.0"] {
        let inspected = run("skopeo", &["inspect", &format!("{store}:{name}")])?;
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], bed.image("app").digest.as_str());
        assert_eq!(inspected["Layers"].as_array().unwrap().len(), bed.image("app").layers.len());
    }
    let converted = bed.join("docker.tar");
    let target = format!("docker-archive:{}:app:latest", converted.display());
    run("skopeo", &["copy", "--insecure-policy", "-q", &format!("{store}:app:latest"), &target])?;
    let config = run("skopeo", &["inspect", "--config", "--raw", &target])?;
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["rootfs"], bed.image("app").config["rootfs"]);
    // The archives of our own are as good.
    let own = format!("oci-archive:{}:latest", archive.display());
    let inspected = run("skopeo", &["inspect", "--config", "--raw", &own])?;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected, bed.image("app").config);
    let docker = bed.join("out/docker.tar");
    let _ = bed.build(&["-t", "app", "-o", &format!("type=docker,dest={}", text(&docker))]);
    let inspected = run(
        "skopeo",
        &["inspect", "--config", "--raw", &format!("docker-archive:{}", docker.display())],
    )?;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["rootfs"], bed.image("app").config["rootfs"]);
    assert!(built.image_id().starts_with("sha256:"));
    Ok(())
}

fn umoci_unpacks_what_local_output_writes(bed: &Bed) -> Result<(), Skipped> {
    fill(bed);
    let tree = bed.join("out/tree");
    let output = format!("type=local,dest={}", tree.display());
    let _ = bed.build(&["-t", "app", "-o", &output]).succeeds();
    let bundle = Bundle::unpack(&bed.store(), "app:latest", &bed.join("bundle"))?;
    let may = if bed.who().is_root() { Differ::Nothing } else { Differ::Owners };
    assert_eq!(differences(&bundle.rootfs(), &tree, may), [] as [String; 0]);
    Ok(())
}

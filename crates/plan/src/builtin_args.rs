use dfbuild_image::Platform;

use crate::Environment;

/// The arguments that every build has, for global `ARG`s, `FROM`, and the stages that declare
/// them (BuildKit `dockerfile2llb/platform.go`).
pub(crate) fn automatic(build: &Platform, target: &Platform, stage: &str) -> Environment {
    let mut args = Environment::default();
    for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
        args.set(&format!("{prefix}PLATFORM"), platform.to_string());
        args.set(&format!("{prefix}OS"), platform.os.as_str());
        args.set(&format!("{prefix}OSVERSION"), "");
        args.set(&format!("{prefix}ARCH"), platform.architecture.as_str());
        args.set(&format!("{prefix}VARIANT"), platform.variant.as_str());
    }
    args.set("TARGETSTAGE", stage);
    args
}

/// Whether `name` is a proxy argument, in any case: it works without being declared, and then is
/// in neither key nor history.
pub fn is_proxy_arg(name: &str) -> bool {
    const NAMES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the builder itself understands `name`, so that a Dockerfile need not consume it.
pub fn is_predefined_arg(name: &str) -> bool {
    is_proxy_arg(name) || name == "SOURCE_DATE_EPOCH" || name.starts_with("BUILDKIT_")
}

use std::collections::BTreeMap;

use dfbuild::Reference;
use dfbuild_compose::Project;

/// Which service makes which image.
#[derive(Debug)]
pub(super) struct Images(BTreeMap<String, String>);

impl Images {
    /// The images of all services that are built.
    pub(super) fn of(project: &Project) -> Self {
        let mut images = BTreeMap::new();
        for service in project.services.values() {
            let Some(build) = &service.build else { continue };
            let own = service.image_name(&project.name);
            for name in build.tags.iter().chain([&own]) {
                images.insert(normalised(name), service.name.clone());
            }
        }
        Self(images)
    }

    /// The service that makes an image, as a Dockerfile names it.
    pub(super) fn service(&self, image: &str) -> Option<&str> {
        self.0.get(&normalised(image)).map(String::as_str)
    }
}

/// The name with everything filled in: `base` is `docker.io/library/base:latest`.
fn normalised(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(mut reference) => {
            if reference.tag.is_none() && reference.digest.is_none() {
                reference.tag = Some("latest".to_owned());
            }
            reference.to_string()
        }
        Err(_) => name.to_owned(),
    }
}

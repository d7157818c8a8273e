use dfbuild_image::{Descriptor, Digest, MediaType, Platform, Reference, descriptor};
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::client::{Access, Call};
use crate::endpoint::Endpoint;
use crate::http::{Body, Response, header, read_limited};
use crate::retry::Failure;
use crate::scope::Scope;
use crate::url::Url;
use crate::{Client, Error, Registry, RemoteImage, RemoteManifest};

/// Every kind of manifest that can be used, Docker's and OCI's.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Registries take manifests of 4 MiB (distribution-spec, "Pushing Manifests"); containerd reads 8.
const LONGEST_MANIFEST: u64 = 8 * 1024 * 1024;
impl Client {
    /// The manifest or index that `reference` names; by its digest if it has one.
    pub fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        let action = format!("pull manifest of {reference}");
        self.at_mirrors(&action, reference, |endpoint, _| {
            let (mut response, url) =
                self.ask_manifest(&action, endpoint, reference, &Method::GET)?;
            let bytes = read_limited(&action, &url, &mut response, LONGEST_MANIFEST)?;
            let found = Digest::of(&bytes);
            let named = digest_header(&response);
            if let Some(expected) = reference.digest.or(named).filter(|&expected| expected != found)
            {
                return Err(Failure::again(Error::corrupt(
                    &action,
                    &url.authority(),
                    expected,
                    found,
                )));
            }
            let media_type = media_type(&response, &bytes);
            if media_type.is_empty() {
                return Err(Error::Unsupported { action: action.clone(), media_type }.into());
            }
            let media_type = MediaType::from(media_type.as_str());
            let descriptor = descriptor(media_type, found, bytes.len() as u64);
            Ok(RemoteManifest { descriptor, bytes })
        })
    }

    /// What `reference` names at the moment, without its bytes where the registry can say so.
    pub fn describe(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let action = format!("look up {reference}");
        let found = self.at_mirrors(&action, reference, |endpoint, _| {
            let (response, _) = self.ask_manifest(&action, endpoint, reference, &Method::HEAD)?;
            let size = header(&response, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
            let digest = digest_header(&response).or(reference.digest);
            let media_type = header(&response, CONTENT_TYPE.as_str()).map(plain_media_type);
            Ok(match (digest, size, media_type) {
                (Some(digest), Some(size), Some(media_type)) => {
                    Some(descriptor(MediaType::from(media_type), digest, size))
                }
                _ => None,
            })
        });
        match found {
            Ok(Some(descriptor)) => Ok(descriptor),
            // A registry need not name the digest, and some do not know HEAD.
            Ok(None) => Ok(self.manifest(reference)?.descriptor),
            Err(error) if error.status() == Some(405) => Ok(self.manifest(reference)?.descriptor),
            Err(error) => Err(error),
        }
    }

    /// [`Registry::resolve`].
    pub fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<RemoteImage, Error> {
        Registry::resolve(self, reference, platform)
    }

    /// Stores `bytes` under the tag of `reference`, else under their digest, which it returns.
    /// All that they name must be there already.
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let action = format!("push manifest of {reference}");
        let digest = Digest::of(bytes);
        let name = reference.tag.clone().unwrap_or_else(|| digest.to_string());
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(media_type.as_ref());
        headers.insert(
            CONTENT_TYPE,
            value.map_err(|_| Error::Unsupported {
                action: action.clone(),
                media_type: media_type.to_string(),
            })?,
        );
        self.at_registry(&action, reference, |endpoint, _| {
            let repository = &reference.repository;
            let (response, url) = self.perform(&Call {
                action: &action,
                method: &Method::PUT,
                url: &endpoint.url(repository, &format!("manifests/{name}"))?,
                headers: &headers,
                body: Body::Bytes(bytes),
                access: Access::Registry(endpoint, &[Scope::push(repository)]),
                expected: &[],
            })?;
            match digest_header(&response) {
                Some(stored) if stored != digest => {
                    Err(Error::corrupt(&action, &url.authority(), digest, stored).into())
                }
                _ => Ok(digest),
            }
        })
    }

    fn ask_manifest(
        &self,
        action: &str,
        endpoint: &Endpoint,
        reference: &Reference,
        method: &Method,
    ) -> Result<(Response, Url), Failure> {
        let digest = reference.digest.map(|digest| digest.to_string());
        let name = digest.as_deref().or(reference.tag.as_deref()).unwrap_or("latest");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        self.perform(&Call {
            action,
            method,
            url: &endpoint.url(&reference.repository, &format!("manifests/{name}"))?,
            headers: &headers,
            body: Body::None,
            access: Access::Registry(
                endpoint,
                &[Scope::pull(&endpoint.repository(&reference.repository))],
            ),
            expected: &[],
        })
    }
}

fn digest_header(response: &Response) -> Option<Digest> {
    header(response, "docker-content-digest").and_then(|digest| digest.parse().ok())
}

/// The media type that the answer says, or where a server says only that it is JSON, what the
/// document says of itself.
fn media_type(response: &Response, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        media_type: Option<String>,
        manifests: Option<serde_json::Value>,
        config: Option<serde_json::Value>,
    }
    let said = header(response, CONTENT_TYPE.as_str()).map(plain_media_type).unwrap_or_default();
    if said.starts_with("application/vnd.") {
        return said.to_owned();
    }
    match serde_json::from_slice(bytes) {
        Ok(Document { media_type: Some(inner), .. }) => inner,
        Ok(Document { manifests: Some(_), .. }) => MediaType::ImageIndex.to_string(),
        Ok(Document { config: Some(_), .. }) => MediaType::ImageManifest.to_string(),
        _ => said.to_owned(),
    }
}

/// The media type without parameters such as `charset`.
fn plain_media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

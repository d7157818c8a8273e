use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::address::basic;
use crate::challenge::Challenge;
use crate::client::{Access, Call, lock};
use crate::endpoint::Endpoint;
use crate::http::{Body, read_limited};
use crate::retry::Failure;
use crate::scope::{Scope, wanted};
use crate::url::{Url, is_loopback, percent_encoded};
use crate::{Client, Credential, Error};

/// What is known of how registries want to be asked.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// The last challenge, by registry.
    challenges: Mutex<HashMap<String, Challenge>>,
    credentials: Mutex<HashMap<String, Known>>,
    tokens: Mutex<HashMap<(String, Vec<Scope>), Token>>,
}

/// What was said of a registry's credentials.
#[derive(Debug, Clone)]
struct Known {
    credential: Option<Credential>,
    /// Why there are none, if that was not meant so.
    problem: Option<String>,
}

/// A token and the time from which it must not be used any more.
#[derive(Clone)]
struct Token {
    value: String,
    until: SystemTime,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(…, {:?})", self.until)
    }
}

/// What a token server gives that says nothing of it (distribution, "Token Authentication").
const DEFAULT_LIFETIME: u64 = 60;
/// A token this close to its end might end on the way.
const MARGIN: Duration = Duration::from_secs(5);
const LONGEST_TOKEN: u64 = 1024 * 1024;

impl Client {
    /// The `Authorization` to send at once, as far as it is known what the registry wants.
    pub(crate) fn authorization(
        &self,
        action: &str,
        endpoint: &Endpoint,
        scopes: &[Scope],
    ) -> Result<Option<String>, Failure> {
        let known = lock(&self.auth().challenges).get(&endpoint.name).cloned();
        let Some(challenge) = known else { return Ok(None) };
        let now = self.options().clock.now();
        let key = (endpoint.name.clone(), scopes.to_vec());
        let token = lock(&self.auth().tokens).get(&key).filter(|token| token.until > now).cloned();
        match token {
            Some(token) => Ok(Some(format!("Bearer {}", token.value))),
            None => self.obtain(action, endpoint, scopes, &challenge),
        }
    }

    /// The `Authorization` that answers a challenge; `None` if there is nothing to answer with.
    pub(crate) fn answer(
        &self,
        action: &str,
        endpoint: &Endpoint,
        scopes: &[Scope],
        challenge: &Challenge,
    ) -> Result<Option<String>, Failure> {
        lock(&self.auth().challenges).insert(endpoint.name.clone(), challenge.clone());
        lock(&self.auth().tokens).remove(&(endpoint.name.clone(), scopes.to_vec()));
        self.obtain(action, endpoint, scopes, challenge)
    }

    fn obtain(
        &self,
        action: &str,
        endpoint: &Endpoint,
        scopes: &[Scope],
        challenge: &Challenge,
    ) -> Result<Option<String>, Failure> {
        let credential = self.credential(&endpoint.name);
        match (challenge, credential) {
            (_, Some(Credential::Bearer(token))) => Ok(Some(format!("Bearer {token}"))),
            (Challenge::Basic, Some(Credential::Basic { user, password })) => {
                Ok(Some(basic(&user, &password)))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let request = TokenRequest {
                    realm,
                    service: service.as_deref(),
                    scopes: wanted(scopes, scope.as_deref()),
                    credential: credential.as_ref(),
                };
                let token = self.token(action, endpoint, &request)?;
                let value = format!("Bearer {}", token.value);
                lock(&self.auth().tokens).insert((endpoint.name.clone(), scopes.to_vec()), token);
                Ok(Some(value))
            }
        }
    }

    /// Asked once for each registry: helpers may be slow, and may ask people.
    ///
    /// A configuration that names a helper which is not there must not keep anybody from what is
    /// public: that is only told if the registry then refuses.
    fn credential(&self, registry: &str) -> Option<Credential> {
        if let Some(known) = lock(&self.auth().credentials).get(registry) {
            return known.credential.clone();
        }
        let known = match self.options().credentials.get(registry) {
            Ok(credential) => Known { credential, problem: None },
            Err(Error::Credentials { reason, .. }) => {
                Known { credential: None, problem: Some(reason) }
            }
            Err(error) => Known { credential: None, problem: Some(error.to_string()) },
        };
        let credential = known.credential.clone();
        lock(&self.auth().credentials).insert(registry.to_owned(), known);
        credential
    }

    /// Why there are no credentials for a registry, if they were wanted.
    pub(crate) fn credential_problem(&self, registry: &str) -> Option<String> {
        lock(&self.auth().credentials).get(registry)?.problem.clone()
    }

    fn token(
        &self,
        action: &str,
        endpoint: &Endpoint,
        request: &TokenRequest<'_>,
    ) -> Result<Token, Failure> {
        let action = format!("{action}: get a token");
        let (realm, _) = Url::parse(request.realm)?;
        // The registry names the token server, but it cannot make a secret travel in the clear.
        let clear = !realm.is_https()
            && !is_loopback(&realm.authority())
            && !self.agents().is_insecure(&realm.authority())
            && endpoint.base().is_https();
        if clear && request.credential.is_some() {
            let reason = "the registry's token server would get the password in the clear";
            return Err(Error::Address { url: request.realm.to_owned(), reason }.into());
        }
        let now = self.options().clock.now();
        let mut headers = HeaderMap::new();
        let (method, url, form, fixed) = match request.credential {
            Some(Credential::Identity(secret)) => {
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                let form = request.form(&self.options().user_agent, secret);
                (Method::POST, realm, form, None)
            }
            Some(Credential::Basic { user, password }) => {
                (Method::GET, request.query(realm), String::new(), Some(basic(user, password)))
            }
            _ => (Method::GET, request.query(realm), String::new(), None),
        };
        let (mut response, url) = self.perform(&Call {
            action: &action,
            method: &method,
            url: &url,
            headers: &headers,
            body: if form.is_empty() { Body::None } else { Body::Bytes(form.as_bytes()) },
            access: Access::Fixed(fixed.as_deref()),
            expected: &[],
        })?;
        let body = read_limited(&action, &url, &mut response, LONGEST_TOKEN)?;
        let malformed = |reason: String| Error::Malformed { action: action.clone(), reason };
        let document: TokenDocument =
            serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
        let value = document.token.or(document.access_token).filter(|token| !token.is_empty());
        let value = value.ok_or_else(|| malformed("there is no token in it".to_owned()))?;
        let lifetime = Duration::from_secs(document.expires_in.unwrap_or(0).max(DEFAULT_LIFETIME));
        Ok(Token { value, until: now + lifetime.saturating_sub(MARGIN) })
    }
}

struct TokenRequest<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scopes: Vec<String>,
    credential: Option<&'a Credential>,
}

impl TokenRequest<'_> {
    fn query(&self, realm: Url) -> Url {
        let url = match self.service {
            Some(service) => realm.with_query("service", service),
            None => realm,
        };
        self.scopes.iter().fold(url, |url, scope| url.with_query("scope", scope))
    }

    fn form(&self, client_id: &str, secret: &str) -> String {
        let scopes = self.scopes.join(" ");
        let fields = [
            ("grant_type", "refresh_token"),
            ("service", self.service.unwrap_or_default()),
            ("client_id", client_id),
            ("scope", &scopes),
            ("refresh_token", secret),
        ];
        let pairs = fields.map(|(name, value)| format!("{name}={}", percent_encoded(value)));
        pairs.join("&")
    }
}

#[derive(Deserialize)]
struct TokenDocument {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

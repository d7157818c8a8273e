/// Variables in the order in which they were first set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// The variables of a configuration, `NAME=value` each. One without `=` has the value `""`.
    pub fn from_config(env: &[String]) -> Self {
        let mut environment = Self::default();
        for variable in env {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            environment.set(name, value);
        }
        environment
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets `name`; a variable that was set before keeps its place.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.variables.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value.into(),
            None => self.variables.push((name.to_owned(), value.into())),
        }
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) {
        self.variables.retain(|(key, _)| key != name);
    }

    /// All variables, in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.variables
    }
}

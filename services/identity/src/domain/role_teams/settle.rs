//! Behind the engine: which role and which teams a user ends up with.

use std::collections::HashSet;

use platform::ids::TeamId;
use platform::{Error, Result};
use scim::{ErrorKind, Map, Warning};
use serde_json::Value;
use uuid::Uuid;

use super::{
    DEFAULT_ROLE, PROTECTED, PROVISIONED, ROLE, RoleTeams, SLUG, Sent, TEAMS, UUID, VALUE, put_extension,
    role_named, role_of, shown, word,
};
use crate::domain::team::Team;

/// Teams that one user may be in.
const MOST_TEAMS: usize = 200;

/// What is left to decide of a write once the engine is done with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settle {
    pub(crate) rule: RoleTeams,
    pub(crate) sent: Sent,
}

/// How an element names its team. The uuid counts where both are given and there is such a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: Option<TeamId>,
    /// Folded.
    pub(crate) slug_key: Option<String>,
}

impl Wanted {
    fn of(element: &Value) -> Self {
        let text = |name: &str| {
            element.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
        };
        let id = |text: &str| Uuid::try_parse(text).ok().map(TeamId::from_uuid);
        let value = text(VALUE);
        let slug = text(SLUG).or(value.filter(|value| id(value).is_none()));
        Self { id: text(UUID).or(value).and_then(id), slug_key: slug.map(scim::fold_str) }
    }

    fn find<'a>(&self, registry: &'a [Team]) -> Option<&'a Team> {
        let by_id = registry.iter().find(|team| Some(team.id) == self.id);
        by_id.or_else(|| registry.iter().find(|team| Some(scim::fold_str(&team.slug)) == self.slug_key))
    }
}

impl Settle {
    /// The teams to look up. None when the user's teams stay what they are.
    pub(crate) fn wanted(&self, current: Option<&Map>, next: &Map) -> Vec<Wanted> {
        let before = current.and_then(|current| self.elements(current));
        let Some(after) = self.elements(next).filter(|after| self.sent.teams && Some(*after) != before)
        else {
            return Vec::new();
        };
        after.iter().take(MOST_TEAMS).map(Wanted::of).collect()
    }

    /// Decides. `current` is none for a POST; `registry` has the teams of [`Self::wanted`] that there are.
    ///
    /// # Errors
    /// `InvalidValue` in strict dialects, for what the others skip.
    pub(crate) fn apply(
        &self,
        current: Option<&Map>,
        next: &mut Map,
        registry: &[Team],
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let urn = self.rule.urn();
        let before = current.and_then(|current| self.elements(current));
        let teams = match self.elements(next) {
            _ if !self.sent.teams => before.cloned(),
            after if after == before => after.cloned(),
            None => None,
            Some(after) => Some(self.teams(after, registry, warnings)?),
        };
        let role_before = current.and_then(|current| role_of(urn, current));
        let role = match current {
            Some(_) if !self.sent.role => role_before.map(str::to_owned),
            _ => self.role(current.is_some(), role_before, role_of(urn, next), warnings)?,
        };

        let mut extension = match next.remove(urn) {
            Some(Value::Object(extension)) => extension,
            _ => Map::new(),
        };
        set(&mut extension, ROLE, role.map(Value::from));
        set(&mut extension, TEAMS, teams.filter(|teams| !teams.is_empty()).map(Value::from));
        put_extension(next, urn, extension);
        Ok(())
    }

    fn elements<'a>(&self, user: &'a Map) -> Option<&'a Vec<Value>> {
        user.get(self.rule.urn())?.get(TEAMS)?.as_array()
    }

    fn role(
        &self,
        is_update: bool,
        before: Option<&str>,
        after: Option<&str>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<String>> {
        if is_update && before == after {
            return Ok(before.map(str::to_owned));
        }
        let stays = before.unwrap_or(DEFAULT_ROLE);
        let wanted = after.unwrap_or(DEFAULT_ROLE).trim();
        let named = role_named(wanted);
        if named == Some(stays) {
            return Ok(Some(stays.to_owned()));
        }
        if PROTECTED.contains(&stays) {
            let detail =
                format!("skipped: {stays} is a protected role, which only an administrator takes away");
            warnings.push(Warning { attribute: self.rule.name(ROLE), detail });
            return Ok(Some(stays.to_owned()));
        }
        if let Some(role) = named.filter(|role| PROVISIONED.contains(role)) {
            return Ok(Some(role.to_owned()));
        }
        let why = match named {
            Some(role) => format!("{role} is a protected role, which only an administrator gives"),
            None => format!("{} is no role", word(wanted)),
        };
        let detail = format!("{why}; expected one of {}", PROVISIONED.join(", "));
        self.skip(ROLE, format!("{detail}; the role is {stays}"), detail, warnings)?;
        Ok(Some(stays.to_owned()))
    }

    /// The elements as they are stored.
    fn teams(
        &self,
        elements: &[Value],
        registry: &[Team],
        warnings: &mut Vec<Warning>,
    ) -> Result<Vec<Value>> {
        if elements.len() > MOST_TEAMS {
            let detail = format!("a user can be in {MOST_TEAMS} teams at most");
            self.skip(TEAMS, format!("skipped what is behind the first: {detail}"), detail, warnings)?;
        }
        let mut teams = Vec::new();
        let mut seen = HashSet::new();
        for element in elements.iter().take(MOST_TEAMS) {
            let Some(team) = Wanted::of(element).find(registry) else {
                let named = [UUID, SLUG, VALUE].iter().find_map(|name| element.get(*name)?.as_str());
                let detail = match named.filter(|named| Uuid::try_parse(named).is_ok()) {
                    Some(id) => format!("the tenant has no team {id:?}"),
                    None => format!(
                        "the tenant has no team {}",
                        named.map_or_else(|| "of that kind".to_owned(), word)
                    ),
                };
                self.skip(TEAMS, format!("skipped: {detail}; register it first"), detail, warnings)?;
                continue;
            };
            if seen.insert(team.id) {
                teams.push(shown(team.id, &team.slug));
            }
        }
        Ok(teams)
    }

    /// Records what is skipped, or refuses it.
    fn skip(
        &self,
        attribute: &str,
        skipped: String,
        refused: String,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let attribute = self.rule.name(attribute);
        if self.rule.strict {
            let detail = format!("{attribute}: {refused}");
            return Err(Error::new(ErrorKind::InvalidValue, detail).with_attribute(attribute));
        }
        warnings.push(Warning { attribute, detail: skipped });
        Ok(())
    }
}

fn set(object: &mut Map, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            object.insert(name.to_owned(), value);
        }
        None => {
            object.remove(name);
        }
    }
}

//! The shape of the tenant, the same in SQL (`fill.rs`) and here: who is in which group follows from their numbers.
//!
//! Group sizes fall with the number, few are large. The last fifth of the groups makes chains, each holding the next; of the
//! others every tenth holds the nine behind it.

use platform::ids::TenantId;
use uuid::Uuid;

/// A tenant. Users and groups are numbered from 0.
#[derive(Clone)]
pub struct Tenant {
    pub users: i64,
    pub groups: i64,
    pub depth: i64,
    /// Users directly in each group.
    pub sizes: Vec<i64>,
}

impl Tenant {
    pub fn new(users: i64, groups: i64, edges: i64, depth: i64) -> Self {
        let weight = |group: i64| 1.0 / (group as f64 + 20.0).powf(0.8);
        let all: f64 = (0..groups).map(weight).sum();
        #[expect(clippy::cast_possible_truncation, reason = "sizes are small and positive")]
        let size = |group| ((weight(group) / all * edges as f64).round() as i64).clamp(1, users);
        Self { users, groups, depth, sizes: (0..groups).map(size).collect() }
    }

    pub fn id(&self) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
    }

    /// Direct memberships of users.
    pub fn edges(&self) -> i64 {
        self.sizes.iter().sum()
    }

    /// A member of a group: the `number`th of its users.
    pub fn member(&self, group: i64, number: i64) -> i64 {
        let size = self.sizes.get(usize::try_from(group).unwrap_or(0)).copied().unwrap_or(1);
        let step = (self.users / size).max(1);
        let number = number % size;
        number * step + (((number * 7919 + group * 104_729) * 40_503) >> 8) % step
    }

    /// The first group of the chains.
    pub fn first_chained(&self) -> i64 {
        self.groups - self.chains() * self.depth
    }

    pub fn chains(&self) -> i64 {
        self.groups / 5 / self.depth
    }

    /// The group of a chain that has so many levels, itself included.
    pub fn with_levels(&self, chain: i64, levels: i64) -> i64 {
        self.first_chained() + (chain % self.chains()) * self.depth + self.depth - levels
    }
}

/// Of the user of that number; those of later ones are higher, as is so with UUIDv7.
pub fn user_id(number: i64) -> String {
    id(0x0190_0000_0000 + number, 0x8000, number)
}

/// Of the group of that number.
pub fn group_id(number: i64) -> String {
    id(0x01a0_0000_0000 + number, 0x8001, number)
}

fn id(time: i64, variant: i64, number: i64) -> String {
    let random = scattered(number);
    let time = format!("{time:012x}");
    format!("{}-{}-7000-{variant:04x}-{random:012x}", &time[..8], &time[8..])
}

fn scattered(number: i64) -> i64 {
    (number * 25_214_903_917 + 11) & 0xffff_ffff_ffff
}

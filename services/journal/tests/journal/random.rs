//! Random histories: whatever is asked, every page together is what looking at each exchange finds, in order.

use std::collections::HashSet;

use platform::clock::Clock;
use platform::ids::UserId;
use proto::journal::v1::{Exchange, ListExchangesRequest};

use crate::support::{START, app, ids};

/// A generator of numbers that looks random enough (xorshift) and is the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn some<T: Clone>(&mut self, of: &[T], most: usize) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| of[self.below(of.len())].clone()).collect()
    }
}

fn is_wanted(exchange: &Exchange, question: &ListExchangesRequest) -> bool {
    let concerned: HashSet<&String> = [&exchange.resource_id]
        .into_iter()
        .chain(&exchange.members_added)
        .chain(&exchange.members_removed)
        .collect();
    let about = |asked: &[String]| asked.is_empty() || asked.iter().any(|id| concerned.contains(id));
    about(&question.users)
        && about(&question.groups)
        && (question.outcomes.is_empty() || question.outcomes.contains(&exchange.outcome))
        && (!question.only_notable || exchange.outcome != 2)
        && exchange.at_us >= question.from_us
        && (question.until_us == 0 || exchange.at_us < question.until_us)
        && (question.request_id.is_empty() || exchange.request_id == question.request_id)
}

testkit::store_tests! {
    service: Journal;

    async fn every_question_is_answered_as_by_looking_at_each(db: Database) {
        let app = app(db);
        let mut dice = Dice(0x1234_5678_9abc_def1);
        let somebody: Vec<String> = (0..6).map(|_| UserId::new(&Clock::system()).to_string()).collect();
        let mut all = Vec::new();
        for _ in 0..400 {
            all.push(Exchange {
                resource_type: ["User", "Group"][dice.below(2)].into(),
                resource_id: somebody[dice.below(6)].clone(),
                members_added: dice.some(&somebody, 2),
                members_removed: dice.some(&somebody, 2),
                outcome: i32::try_from(1 + dice.below(5)).unwrap(),
                // Often at the same time.
                at_us: START + i64::try_from(dice.below(60)).unwrap(),
                request_id: format!("r-{}", dice.below(8)),
                ..app.exchange()
            });
        }
        for batch in all.chunks(50) {
            app.append(batch.to_vec()).await.unwrap();
        }
        all.sort_by(|a, b| (b.at_us, &b.id).cmp(&(a.at_us, &a.id)));
        let mut hits = 0;
        for _ in 0..150 {
            let bound = |dice: &mut Dice| [0, START + i64::try_from(dice.below(60)).unwrap()][dice.below(2)];
            let question = ListExchangesRequest {
                users: dice.some(&somebody, 2),
                groups: dice.some(&somebody, 1),
                outcomes: dice.some(&[1, 2, 3, 4, 5], 3),
                from_us: bound(&mut dice),
                until_us: bound(&mut dice),
                request_id: ["", "", "r-3"][dice.below(3)].into(),
                only_notable: dice.below(3) == 0,
                page_size: i32::try_from(1 + dice.below(30)).unwrap(),
                ..app.question()
            };
            let wanted: Vec<Exchange> = all.iter().filter(|exchange| is_wanted(exchange, &question)).cloned().collect();
            hits += wanted.len();
            let found = app.find(question.clone()).await;
            assert_eq!(ids(&found), ids(&wanted), "{question:?}");
        }
        assert!(hits > 1000, "the questions were about something: {hits}");
    }
}

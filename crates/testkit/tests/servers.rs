//! The throw-away servers start, answer, and are gone when their process is.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;

#[tokio::test]
async fn postgres_answers() {
    let server = testkit::postgres::server();
    let db = sea_orm::Database::connect(server.admin_url()).await.unwrap();
    let statement =
        sea_orm::Statement::from_string(db.get_database_backend(), "SELECT lower('ÄÖ') AS folded");
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get::<String>("", "folded").unwrap(), "äö");
}

/// Not a test: what the next one kills.
#[test]
#[ignore = "runs until it is killed, by nothing_outlives_a_killed_test"]
fn hold_a_server() {
    println!("{}", testkit::postgres::server().admin_url());
    std::thread::park();
}

#[test]
fn nothing_outlives_a_killed_test() {
    let mut held = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_a_server", "--ignored", "--nocapture"])
        .env_remove(testkit::postgres::URL_VARIABLE)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(held.stdout.take().unwrap()).lines();
    let url = lines.find_map(|line| line.unwrap().split_once("?host=").map(|(_, dir)| dir.to_owned()));
    let dir = PathBuf::from(url.unwrap());
    assert!(dir.join("data").exists());
    held.kill().unwrap();
    held.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while dir.exists() {
        assert!(Instant::now() < deadline, "{} is still there", dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! Sign-ins of a whole run: shared by its lanes, and made anew before they end.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::home::{Home, hence};

use sameturn::auth::seen::Seen;
use sameturn::auth::timestamp;
use sameturn::catalog;
use sameturn::conduct::cell::Conductor;
use sameturn::conduct::identity::{Identities, Identity};
use sameturn::conduct::run::{Work, run};
use sameturn::dialect::Dialect;
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use sameturn::plan::{self, PlannedScenario, PlannedTarget};
use sameturn::report::event::{Cell, RunEvent, Verdict};
use sameturn::scenario;
use sameturn::target::model::Auth;
use sameturn::transport::Limits;
use sameturn::transport::live::Live;
use serde_json::json;

const SSO: &str = "
[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
[sso-session corp]
sso_start_url = https://sameturn.invalid/start
sso_region = us-east-1
";
const PONG: &str = "
name: a/pong
about: A word.
turns:
  - user: ping
";

fn target(
    server: &MockServer,
    provider: &str,
    word: &str,
    model: &str,
    region: &str,
) -> PlannedTarget {
    let provider = catalog::shipped().provider(provider).expect("it is there");
    let row = catalog::shipped().model(&provider.id, model);
    let mut route = plan::route(provider, row, word, Some(region), None).expect("a route");
    route.origin = server.base_url(&provider.id, Some(region), &Default::default());
    PlannedTarget {
        name: provider.id.clone(),
        provider: provider.clone(),
        dialect: word.parse::<Dialect>().expect("a dialect"),
        model: model.to_owned(),
        region: Some(region.to_owned()),
        route,
        auth: Some(Auth::AwsProfile("dev".to_owned())),
        headers: Vec::new(),
        agent: Default::default(),
        guardrail: None,
        endpoint_from: None,
        warnings: Vec::new(),
        mocked: false,
        unknown_faults: Vec::new(),
    }
}

/// SSO, SigV4 and the mocked Bedrock, in a run that outlives its credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_with_new_credentials_and_lanes_share_them() {
    const LIFE: u32 = 3;
    // Another test may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut data = MockData::shipped().expect("the shipped data");
    data.aws.issued.role_life_seconds = LIFE;
    let server = MockServer::start(([127, 0, 0, 1], 0).into(), data, 1)
        .await
        .expect("it listens");
    let mut home = Home::new(SSO).cache(
        "corp",
        json!({
            "accessToken": "sameturn-mock-sso-token", "region": "us-east-1",
            "startUrl": "https://sameturn.invalid/start",
            "expiresAt": timestamp::write(hence(7200)),
        }),
    );
    for (service, url) in server.sign_in_variables() {
        home = home.with(&service.variable, url);
    }
    let before = home.tree();
    let targets = vec![
        target(
            &server,
            "bedrock-mantle",
            "responses",
            "openai.gpt-5.5",
            "us-east-1",
        ),
        target(
            &server,
            "bedrock-runtime",
            "converse",
            "us.openai.gpt-5.6-sol",
            "us-east-1",
        ),
    ];
    let identities = targets
        .iter()
        .map(|target| Identities {
            own: Identity::own(home.environment.clone(), target.auth.clone()),
            denied: None,
            expired: None,
            headers: Vec::new(),
        })
        .collect();
    let repeats = 200;
    let cells = (0..repeats)
        .flat_map(|repeat| {
            (0..2).map(move |target| Cell {
                scenario: 0,
                target,
                repeat,
            })
        })
        .collect();
    let conductor = Conductor {
        transport: Live::new(Duration::from_secs(5), &[]).expect("a client"),
        catalog: catalog::shipped(),
        limits: Limits::CHECK,
        keep_streams: false,
        seen: Arc::new(Seen::new(false)),
        sign_ins: Default::default(),
    };
    let work = Work {
        scenarios: vec![PlannedScenario {
            scenario: scenario::read::read("test.yaml", PONG).expect("a scenario"),
            digest: String::new(),
            origin: String::new(),
        }],
        targets,
        identities,
        cells,
        reference: "bedrock-mantle".to_owned(),
    };
    let mut requests = server.watch();
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let started = std::time::Instant::now();
    let running = tokio::spawn(run(Arc::new(conductor), Arc::new(work), events, stopped));
    let counted = tokio::spawn(async move {
        let (mut portal, mut asked) = (0, 0);
        while let Ok(request) = requests.recv().await {
            match request.path.contains("/aws/sso/") {
                true => portal += 1,
                false => asked += 1,
            }
        }
        (portal, asked)
    });
    tokio::time::sleep(Duration::from_secs(u64::from(LIFE) * 2 + 1)).await;
    let _ = stop.send(true);
    running.await.expect("it ends");
    let elapsed = started.elapsed();
    assert_eq!(before, home.tree(), "the home was written to");
    let mut passed = 0;
    while let Ok(event) = told.try_recv() {
        if let RunEvent::CellEnded(result) = event {
            assert_eq!(result.verdict, Verdict::Pass, "{result:?}");
            passed += 1;
        }
    }
    server.stop().await;
    let (portal, asked) = counted.await.expect("it counts");
    assert!(passed > 4, "{passed} cells in {elapsed:?}");
    assert!(asked >= passed, "{asked} requests for {passed} cells");
    // One resolution for both lanes at once, another at half of each life, which the portal tells in whole seconds: up to
    // one less. A lane each, or one for every cell, would make many more; none after the first would make one, and
    // refusals.
    let most = 2 + 2 * elapsed.as_secs() / u64::from(LIFE - 1);
    assert!(
        (3..=most).contains(&portal),
        "{portal} resolutions in {elapsed:?}"
    );
}

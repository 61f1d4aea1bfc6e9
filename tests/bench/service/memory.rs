//! What the service takes when it has nothing to do, and when it has much.

use std::time::Duration;

use crate::Bench;
use crate::exchange::Pace;
use crate::program::{Program, Setting};
use crate::receiver::Clockwork;
use crate::report::{Budget, Report};

/// From the call of the program to its login.
pub fn start(bench: &Bench, report: &mut Report) {
    let mut starts: Vec<f64> = (0..7)
        .map(|_| {
            let program = Program::start(&bench.binary, &bench.exchange, &Setting::default());
            let start_ms = program.start.as_secs_f64() * 1e3;
            program.stop();
            start_ms
        })
        .collect();
    starts.sort_by(f64::total_cmp);
    report.add("start to AMI login, median of 7", starts[3], "ms", Budget::AtMost(50.0));
}

/// As shipped: SQLite, one exchange, one CRM by https, status page and FastAGI.
pub fn idle(bench: &Bench, report: &mut Report) {
    let program = Program::start(&bench.binary, &bench.exchange, &Setting::default());
    let memory = program.settled();
    report.add("idle, resident", memory.resident, "MB", Budget::AtMost(9.0));
    report.add("idle, of it anonymous", memory.anonymous, "MB", Budget::AtMost(3.0));
    let (seconds, before) = (bench.of(60), program.cpu());
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let share = (program.cpu() - before).as_secs_f64() / f64::from(seconds) * 100.0;
    report.add("idle, of one core", share, "%", Budget::AtMost(0.1));
    program.stop();
    let closed = Setting { is_closed: true, ..Setting::default() };
    let program = Program::start(&bench.binary, &bench.exchange, &closed);
    let memory = program.settled();
    report.add("idle, status page and FastAGI closed, resident", memory.resident, "MB", Budget::None);
    report.add("idle, status page and FastAGI closed, anonymous", memory.anonymous, "MB", Budget::None);
    program.stop();
}

/// Memory while so many calls are open: answered ones, each with two parties in a bridge.
pub fn open_calls(bench: &Bench, report: &mut Report) {
    let program = Program::start(&bench.binary, &bench.exchange, &Setting::default());
    let answered = &bench.stories[..1];
    let talk = answered[0].messages.len() / 2;
    let mut open = 0;
    for (step, budget) in
        [(0, Budget::None), (100, Budget::None), (1_000, Budget::AtMost(25.0)), (10_000, Budget::AtMost(60.0))]
    {
        let plays = bench.plays(step - open);
        open = step;
        // As fast as offices can make calls; faster would only measure what waits in queues.
        bench
            .exchange
            .play(answered, plays, Pace { times: 20.0, ..Pace::rate(500.0) }, &|_, _, _| (), |_, nth| nth < talk);
        let memory = program.settled();
        report.add(format!("{step} calls open, resident"), memory.resident, "MB", budget);
        report.add(format!("{step} calls open, of it anonymous"), memory.anonymous, "MB", Budget::None);
    }
    program.stop();
}

/// Memory after many calls have come and gone.
pub fn after_many(bench: &Bench, report: &mut Report) {
    let setting = Setting { crm: bench.receiver.url(), ..Setting::default() };
    let program = Program::start(&bench.binary, &bench.exchange, &setting);
    let mut done = 0;
    for (step, budget) in [(10_000, Budget::None), (100_000, Budget::None)] {
        let step = bench.of(step);
        while done < step {
            let plays = bench.plays(1_000.min(step - done));
            done += 1_000.min(step - done);
            let (finals, _) = bench.outcome(&plays);
            let clockwork = bench.receiver.tell(Clockwork::new(&bench.stories, plays.clone()));
            bench.exchange.play(
                &bench.stories,
                plays,
                Pace::unbraked(50),
                &|play, nth, at| clockwork.sent(play, nth, at),
                |_, _| true,
            );
            clockwork.wait_for_finals(finals, Duration::from_secs(300));
        }
        let memory = program.settled();
        report.add(format!("after {step} calls, resident"), memory.resident, "MB", budget);
        report.add(format!("after {step} calls, of it anonymous"), memory.anonymous, "MB", budget);
    }
    let bytes = program.stop();
    report.add("database per 1,000 calls", bytes as f64 / f64::from(done) / 1.024, "KB", Budget::None);
}

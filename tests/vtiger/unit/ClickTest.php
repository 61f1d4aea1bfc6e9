<?php

/** Click-to-call, commands, heartbeat, bar and alarm. */

declare(strict_types=1);

use PinCalls\Click\ClickToCall;
use PinCalls\Click\ConnectorClient;
use PinCalls\Clock;
use PinCalls\Operation\Directory;
use PinCalls\Operation\FetchCommands;
use PinCalls\Operation\Heartbeat;
use PinCalls\Operation\Users;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Deputies;
use PinCalls\Settings\Groups;
use PinCalls\Settings\RequestLog;
use PinCalls\Status\Alarm;
use PinCalls\Status\LinkState;
use PinCalls\Status\Live;
use PinCalls\Status\LiveToken;
use PinCalls\Status\Mailer;

/** The connector at the other end of the socket. */
final class ScriptedClient extends ConnectorClient
{
    /** @var list<array{0: string, 1: string, 2: ?array}> */
    public array $asked = [];
    /** @var list<array{status: int, body: array, fault: string}> */
    public array $answers = [];

    public function __construct()
    {
    }

    public function ask(Connector $connector, string $method, string $path, ?array $body = null): array
    {
        $this->asked[] = [$method, $path, $body];
        return array_shift($this->answers) ?? ['status' => 0, 'body' => [], 'fault' => 'refused'];
    }
}

final class ClickTest extends DatabaseCase
{
    private ScriptedClient $client;

    protected function setUp(): void
    {
        parent::setUp();
        $this->client = new ScriptedClient();
        $this->user(6, '102');
        $this->beat([['pbx' => 'msk', 'up' => true]]);
    }

    private function beat(array $pbxs): void
    {
        $this->connectors()->heard($this->connector, ['pbxs' => $pbxs], (int) $this->clock->now());
    }

    private function reachable(): void
    {
        $this->connector->url = 'http://127.0.0.1:8383';
        $this->connector->reachable = true;
        $this->connectors()->change($this->connector);
    }

    private function clickToCall(): ClickToCall
    {
        return new ClickToCall(
            $this->connectors(),
            new Groups(self::$db),
            $this->users(),
            $this->rights,
            $this->companions(),
            $this->commands(),
            $this->clicks(),
            $this->client,
            new LinkState($this->connectors(), $this->clock),
            $this->clock
        );
    }

    private function fetch(array $request): array
    {
        $fetch = new FetchCommands($this->commands(), $this->clicks(), function (int $ms): void {
            $this->clock->at += $ms / 1000;
        });
        return $fetch($request, $this->connector)['commands'];
    }

    public function testTheBodyIsThatOfTheContract(): void
    {
        $this->reachable();
        $this->rights->groups = [6 => [3, 4]];
        self::$db->execute("INSERT INTO vtiger_groups (groupid, groupname) VALUES (3, 'a'), (4, 'b')");
        (new Groups(self::$db))->set(3, 2, 0, 'spb', 'other', '+70000000000');
        (new Groups(self::$db))->set(4, 1, 0, 'msk', 'from-internal', '+74951234500');
        $this->contact(4012, 6, '84957654321');
        $this->client->answers[] = ['status' => 202, 'body' => [], 'fault' => ''];
        $answer = $this->clickToCall()->place(6, '8 (495) 765-43-21', 4012);
        self::assertSame('queued', $answer['state']);
        [$method, $path, $body] = $this->client->asked[0];
        self::assertSame(['POST', '/api/v1/calls'], [$method, $path]);
        self::assertEquals(['request' => $answer['request']] + self::wire('to-connector.calls.request.json'), $body);
    }

    public function testTheClientsOwnNumberToShowBeatsTheGroups(): void
    {
        $this->reachable();
        $this->contact(4012, 6, '84957654321');
        self::$db->execute("INSERT INTO vtiger_contactscf (contactid, calls_caller_id) VALUES (4012, '+74959999999')");
        $this->client->answers[] = ['status' => 202, 'body' => [], 'fault' => ''];
        $this->clickToCall()->place(6, '84957654321', 4012);
        self::assertSame('+74959999999', $this->client->asked[0][2]['caller_id']);
    }

    public function testRefusalsInTheUsersWords(): void
    {
        $this->reachable();
        foreach ([400 => 'bad_number', 404 => 'unknown_pbx', 409 => 'already_ringing', 422 => 'forbidden_number', 429 => 'too_many', 503 => 'pbx_down', 401 => 'connector_refused', 500 => 'connector_refused'] as $status => $reason) {
            $this->client->answers[] = ['status' => $status, 'body' => [], 'fault' => ''];
            self::assertSame(['refused', $reason], array_slice(array_values($this->clickToCall()->place(6, '84957654321', 0)), 1));
        }
        self::assertSame([], self::$db->rows('SELECT 1 FROM vtiger_calls_command'), 'a refusal is not sent the other way');
    }

    public function testWhatIsNoNumberIsNotDialled(): void
    {
        foreach (['', 'call me', '123;rm', "8495\r\nAction: x", '+', '<script>', str_repeat('1', 40), '12+3'] as $bad) {
            self::assertSame('bad_number', $this->clickToCall()->place(6, $bad, 0)['reason'], $bad);
        }
        self::assertSame('+79161234567', ClickToCall::dialable('tel:+7 (916) 123-45-67'));
        self::assertSame('89161234567', ClickToCall::dialable('8 916 123–45–67 доб. 12'));
        self::assertSame('*11', ClickToCall::dialable('*11'));
    }

    public function testWhoMayNotOrHasNoExtension(): void
    {
        $this->user(7);
        self::assertSame('no_extension', $this->clickToCall()->place(7, '84957654321', 0)['reason']);
        $this->rights->denied = ['6:ClickToCall' => true];
        self::assertSame('not_allowed', $this->clickToCall()->place(6, '84957654321', 0)['reason']);
    }

    public function testBrokenTelephonyIsSaidAtOnce(): void
    {
        self::$db->execute("UPDATE vtiger_users SET phone_crm_extension = 'msk/102' WHERE id = 6");
        $this->beat([['pbx' => 'msk', 'up' => false, 'since' => '2026-11-22T09:41:00.000Z']]);
        self::assertSame('pbx_down', $this->clickToCall()->place(6, '84957654321', 0)['reason']);
        $this->clock->at += 121;
        self::assertSame('connector_silent', $this->clickToCall()->place(6, '84957654321', 0)['reason']);
        $this->connector->enabled = false;
        $this->connectors()->change($this->connector);
        self::assertSame('no_connector', $this->clickToCall()->place(6, '84957654321', 0)['reason']);
    }

    public function testWhereTheConnectorCannotBeReachedItFetches(): void
    {
        $placed = $this->clickToCall()->place(6, '84957654321', 0);
        self::assertSame('waiting', $placed['state']);
        [$command] = $this->fetch(['wait_s' => 25]);
        self::assertSame('call', $command['command']);
        self::assertSame($placed['request'], $command['call']['request']);
        self::assertSame('2026-11-22T10:00:25.000Z', $command['expires_at']);
        self::assertCount(1, $this->fetch(['wait_s' => 0]), 'given again until it is done');
        self::assertSame([], $this->fetch(['wait_s' => 0, 'done' => [['id' => $command['id'], 'ok' => true]]]));
        self::assertSame('queued', $this->clickToCall()->state(6, $placed['request'])['state']);
        $states = [['request' => $placed['request'], 'state' => 'customer_ringing'], ['request' => $placed['request'], 'state' => 'agent_ringing']];
        $this->fetch(['wait_s' => 0, 'requests' => $states]);
        self::assertSame('customer_ringing', $this->clickToCall()->state(6, $placed['request'])['state'], 'never backwards');
        self::assertSame('refused', $this->clickToCall()->state(7, $placed['request'])['state'], 'nobody else\'s business');
    }

    public function testARefusalThroughCommandsReachesTheUser(): void
    {
        $placed = $this->clickToCall()->place(6, '84957654321', 0);
        [$command] = $this->fetch(['wait_s' => 0]);
        $this->fetch(['wait_s' => 0, 'done' => [['id' => $command['id'], 'ok' => false, 'error' => 'conflict', 'message' => 'x']]]);
        self::assertSame(['failed', 'conflict'], array_slice(array_values($this->clickToCall()->state(6, $placed['request'])), 1));
    }

    public function testACommandNobodyFetchedExpiresAndIsSaid(): void
    {
        $placed = $this->clickToCall()->place(6, '84957654321', 0);
        $this->clock->at += 27;
        self::assertSame([], $this->fetch(['wait_s' => 0]));
        self::assertSame(['failed', 'not_fetched'], array_slice(array_values($this->clickToCall()->state(6, $placed['request'])), 1));
    }

    public function testAnUnreachableConnectorGetsTheSameRequestByCommand(): void
    {
        $this->reachable();
        $placed = $this->clickToCall()->place(6, '84957654321', 0);
        self::assertSame('waiting', $placed['state']);
        self::assertSame($this->client->asked[0][2]['request'], $this->fetch(['wait_s' => 0])[0]['call']['request']);
    }

    public function testCancel(): void
    {
        $placed = $this->clickToCall()->place(6, '84957654321', 0);
        self::assertSame('refused', $this->clickToCall()->cancel(7, $placed['request'])['state']);
        self::assertSame(['failed', 'cancelled'], array_slice(array_values($this->clickToCall()->cancel(6, $placed['request'])), 1));
        self::assertSame(['call', 'cancel'], array_column($this->fetch(['wait_s' => 0]), 'command'));
    }

    public function testTheLongPollWaitsNoLongerThanAskedAndAnswersAtOnce(): void
    {
        $before = $this->clock->at;
        self::assertSame([], $this->fetch(['wait_s' => 25]));
        self::assertEqualsWithDelta(25, $this->clock->at - $before, 0.5);
        $before = $this->clock->at;
        self::assertSame([], $this->fetch(['wait_s' => 9999]));
        self::assertEqualsWithDelta(25, $this->clock->at - $before, 0.5);
        $this->commands()->refresh($this->connector->id, 'users');
        $this->commands()->refresh($this->connector->id, 'users');
        self::assertCount(1, $this->fetch(['wait_s' => 25]), 'said once');
    }

    public function testCommandsAreThoseOfTheContract(): void
    {
        $wanted = array_column(self::wire('commands.answer.json')['commands'], null, 'command');
        $this->commands()->give($this->connector->id, 'close_follow_up', ['call' => 'msk-1763805600.17-1', 'follow_up' => 'closed', 'user' => '5', 'at' => '2026-11-22T10:00:00.000Z']);
        $this->commands()->give($this->connector->id, 'cancel', ['request' => '0b7a5c1e2d3f40516273849586a7b8c9'], (int) $this->clock->at + 20);
        $this->commands()->refresh($this->connector->id, 'directory');
        foreach ($this->fetch(['wait_s' => 0]) as $command) {
            self::assertEquals(['id' => 0] + $wanted[$command['command']], ['id' => 0] + $command);
        }
        self::assertSame([], (new FetchCommands($this->commands(), $this->clicks(), 'intval'))(['wait_s' => 0], $this->connectors()->add('o', 'other', ''))['commands'], 'another connector\'s commands');
    }

    private function heartbeat(array $request, ?Connector $from = null): array
    {
        $users = new Users($this->users(), $this->rights, new Groups(self::$db), new Deputies(self::$db));
        $directory = new Directory(self::$db, $this->clients(), $this->users());
        $heartbeat = new Heartbeat($this->connectors(), $this->settings(), $this->commands(), $users, $directory, $this->clock, '8.0.0');
        return $heartbeat($request, $from ?? $this->connector);
    }

    public function testTheHeartbeatOfTheContract(): void
    {
        $this->settings()->set('phones_filled_to', -1);
        $answer = $this->heartbeat(self::wire('heartbeat.request.json'));
        $wanted = array_diff_key(self::wire('heartbeat.answer.json'), ['ok' => 1, 'module' => 1, 'version' => 1, 'time' => 1]);
        self::assertEqualsCanonicalizing(array_keys($wanted), array_keys($answer));
        self::assertSame(0.25, $answer['clock_skew_seconds']);
        $connector = $this->connectors()->byKey('vtiger');
        self::assertSame(['msk', 'spb'], $connector->pbxs());
        self::assertSame('0.3.0', $connector->heartbeat['version']);
        self::assertSame(['495', 0], [$this->settings()->get('area_code'), $this->settings()->get('phones_filled_to')], 'numbers are read anew');
        $this->settings()->set('phones_filled_to', -1);
        $this->heartbeat(self::wire('heartbeat.request.json'));
        self::assertSame(-1, $this->settings()->get('phones_filled_to'), 'the same again changes nothing');
    }

    public function testOfTwoConnectorsTheFirstSaysHowNumbersAreRead(): void
    {
        $other = $this->connectors()->add('Other city', 'vtiger-2', '');
        $theirs = ['area_code' => '812'] + self::wire('heartbeat.request.json');
        self::$db->execute('UPDATE vtiger_calls_connector SET heard_at = 0');
        $this->heartbeat($theirs, $other);
        self::assertSame('812', $this->settings()->get('area_code'), 'the first was never heard of');
        $this->heartbeat(self::wire('heartbeat.request.json'));
        self::assertSame('495', $this->settings()->get('area_code'));
        $this->settings()->set('phones_filled_to', -1);
        $this->heartbeat($theirs, $other);
        self::assertSame(['495', -1], [$this->settings()->get('area_code'), $this->settings()->get('phones_filled_to')]);
    }

    public function testTheBar(): void
    {
        $state = new LinkState($this->connectors(), $this->clock);
        self::assertSame([], $state->faults([], ''));
        $this->beat([['pbx' => 'msk', 'up' => true], ['pbx' => 'spb', 'up' => false, 'since' => '2026-11-22T09:41:00.000Z']]);
        $down = ['connector' => 'Office', 'pbx' => 'spb', 'since' => (int) Clock::fromWire('2026-11-22T09:41:00.000Z')];
        self::assertSame([$down], $state->faults([], ''));
        self::assertSame([], $state->faults([], 'msk'), 'not his exchange');
        $this->clock->at += 121;
        self::assertSame(['', 'Office'], [$state->faults([], 'msk')[0]['pbx'], $state->faults([], 'msk')[0]['connector']]);
        self::assertSame([], $state->faults([999], ''), 'not his connector');
    }

    public function testTheAlarmIsMailedOnceAndOnceWhenItIsOver(): void
    {
        $mailer = new class implements Mailer {
            public array $sent = [];
            public bool $works = true;

            public function toAdministrators(string $subject, string $body): bool
            {
                $this->sent[] = $subject;
                return $this->works;
            }
        };
        $alarm = function () use ($mailer): void {
            $links = new LinkState($this->connectors(), $this->clock);
            (new Alarm($links, $this->connectors(), $this->settings(), $this->clock, $mailer))->check();
        };
        $this->clock->at += 599;
        $alarm();
        self::assertSame([], $mailer->sent, 'not before ten minutes');
        $this->clock->at += 2;
        $mailer->works = false;
        $alarm();
        $mailer->works = true;
        $alarm();
        $alarm();
        self::assertCount(2, $mailer->sent, 'a letter that did not go out is sent again, one that did is not');
        $this->beat([['pbx' => 'msk', 'up' => true]]);
        $alarm();
        $alarm();
        self::assertCount(3, $mailer->sent);
        self::assertStringContainsString('back', $mailer->sent[2]);
    }

    public function testLiveTokens(): void
    {
        $token = new LiveToken(LiveToken::keyOf('unique'));
        $made = $token->make(['user' => 6], 100);
        self::assertSame(6, $token->read($made, 99)['user']);
        self::assertNull($token->read($made, 100));
        self::assertNull((new LiveToken(LiveToken::keyOf('other')))->read($made, 99));
        self::assertNull($token->read('', 0));
        [$text, $mac] = explode('.', $made);
        $forged = rtrim(strtr(base64_encode('{"user":1,"until":999}'), '+/', '-_'), '=');
        self::assertNull($token->read("$forged.$mac", 99));
        $this->expectException(LogicException::class);
        LiveToken::keyOf('');
    }

    public function testWhatRingsForMeIsMineAlone(): void
    {
        $ring = ['status' => 'ringing', 'extension' => '102', 'client_number' => '89161234567', 'live' => true];
        $this->send(self::call('a', 1, $ring));
        $live = new Live(self::$db, $this->clock);
        self::assertSame(['89161234567', 'a-1'], [$live->ringing(6)[0]['number'], $live->ringing(6)[0]['id']]);
        self::assertSame([], $live->ringing(7));
        $this->clock->at += 301;
        self::assertSame([], $live->ringing(6), 'a phone does not ring for five minutes');
    }

    public function testTheLogKeepsBodiesWithoutSecrets(): void
    {
        $log = new RequestLog(self::$db, $this->clock);
        $log->write(1, 'in', 'records', 200, 5, '{"secret": "hush", "x": "😀' . str_repeat('я', 9000) . '"}', "\xff");
        [$line] = $log->last(1, 10);
        self::assertStringNotContainsString('hush', $line['request']);
        self::assertStringContainsString('"secret": "***"', $line['request']);
        self::assertLessThanOrEqual(8000, strlen($line['request']));
        $log->write(1, 'in', 'x', 200, 5, '{"ami_secret":"hu\\"sh","token":"hush', '{"Password" : "hush", "note": "a secret"}');
        [$line] = $log->last(1, 1);
        self::assertSame('{"ami_secret":"***","token":"***', $line['request']);
        self::assertSame('{"Password" : "***", "note": "a secret"}', $line['answer']);
        $this->clock->at += 8 * 86400;
        $log->trim(7);
        self::assertSame([], $log->last(1, 10));
    }

    public function testTheLogHasAnEnd(): void
    {
        $log = new RequestLog(self::$db, $this->clock);
        $rows = implode(', ', array_fill(0, 1000, "(1, 'in', 'records', 1795341000, 200, 1, '', '')"));
        for ($i = 0; $i < 6; $i++) {
            self::$db->execute("INSERT INTO vtiger_calls_log (connector_id, direction, what, at, status, took_ms, request, answer) VALUES $rows");
        }
        for ($i = 0; $i < 200; $i++) {
            $log->write(1, 'in', 'records', 200, 1, '', '');
        }
        $lines = (int) self::$db->rows('SELECT COUNT(*) AS n FROM vtiger_calls_log')[0]['n'];
        self::assertLessThanOrEqual(5200, $lines);
        self::assertGreaterThanOrEqual(5000, $lines);
    }

    public function testStrangersCannotFillTheLog(): void
    {
        $log = new RequestLog(self::$db, $this->clock);
        for ($i = 0; $i < 50; $i++) {
            $log->writeRefused(1, 1, '{}');
        }
        self::assertCount(1, $log->last(1, 100));
        $this->clock->at += 11;
        $log->writeRefused(1, 1, '{}');
        self::assertCount(2, $log->last(1, 100));
    }
}

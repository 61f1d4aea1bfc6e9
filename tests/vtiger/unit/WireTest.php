<?php

/** Signatures and everything of the wire that needs no database. */

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PinCalls\Clock;
use PinCalls\Record\BadRecord;
use PinCalls\Record\CallFields;
use PinCalls\Record\CallRecord;
use PinCalls\Wire\Answer;
use PinCalls\Wire\Endpoint;
use PinCalls\Wire\Request;
use PinCalls\Wire\Signature;

final class WireTest extends TestCase
{
    private const SECRET = 'b9c1b0a8f7d64e0c9a3c5d7e1f20314255667788';

    public function testSignaturesOfTheContract(): void
    {
        $cases = json_decode((string) file_get_contents(WIRE . '/signature.json'), true);
        self::assertGreaterThanOrEqual(6, count($cases));
        foreach ($cases as $case) {
            $got = Signature::of($case['secret'], $case['method'], $case['path'], $case['time'], $case['nonce'], $case['body']);
            self::assertSame($case['signature'], $got, $case['why']);
        }
    }

    public function testEveryHeadIsSignedOverItsBody(): void
    {
        $heads = glob(WIRE . '/*.request.head');
        self::assertGreaterThanOrEqual(8, count($heads));
        foreach ($heads as $head) {
            $lines = file($head, FILE_IGNORE_NEW_LINES);
            [$method, $path] = explode(' ', $lines[0]);
            $headers = [];
            foreach (array_slice($lines, 1) as $line) {
                [$name, $value] = explode(': ', $line, 2);
                $headers[$name] = $value;
            }
            $body = (string) file_get_contents(substr($head, 0, -4) . 'json');
            self::assertSame((string) strlen($body), $headers['Content-Length'], basename($head));
            $wanted = Signature::of(self::SECRET, $method, $path, (int) $headers['X-PIN-Time'], $headers['X-PIN-Nonce'], $body);
            self::assertSame($wanted, $headers['X-PIN-Signature'], basename($head) . ': sign the body again');
        }
    }

    public function testOwnHeadersAreSigned(): void
    {
        $headers = Signature::headers('k', 's', 'GET', '/recordings/x', '', 5);
        self::assertMatchesRegularExpression('/^[0-9a-f]{32}$/', $headers['X-PIN-Nonce']);
        self::assertSame(Signature::of('s', 'GET', '/recordings/x', 5, $headers['X-PIN-Nonce'], ''), $headers['X-PIN-Signature']);
    }

    public function testTimes(): void
    {
        self::assertSame('2026-11-22T10:00:00.120Z', Clock::toWire(Clock::fromWire('2026-11-22T10:00:00.120Z')));
        self::assertSame(Clock::fromWire('2026-11-22T10:00:00Z'), Clock::fromWire('2026-11-22T13:00:00+03:00'));
        foreach (['', 'now', '2026-11-22 10:00:00', '2026-02-30T10:00:00Z', '2026-11-22T10:00:00'] as $bad) {
            self::assertNull(Clock::fromWire($bad), $bad);
        }
    }

    public function testTheRecordOfTheContractIsReadWhole(): void
    {
        $wire = json_decode((string) file_get_contents(WIRE . '/records.request.json'), true)['records'];
        $missed = CallFields::of(CallRecord::fromWire($wire[0]));
        self::assertSame('Иван "Ваня" Петров', $missed['client_name']);
        self::assertSame('89161234567 → 101', $missed['call_name']);
        self::assertSame('2026-11-22 10:00:12', $missed['call_ended']);
        self::assertSame(10, $missed['ring_seconds']);
        self::assertSame(0, $missed['talk_seconds']);
        self::assertSame('', $missed['call_answered']);
        self::assertSame(1, $missed['is_main']);
        self::assertSame('none', $missed['recording_state']);
        $answered = CallFields::of(CallRecord::fromWire($wire[1]));
        self::assertSame('102 → 84957654321', $answered['call_name']);
        self::assertSame('5f1c2ab09d3e4c77', $answered['recording_link']);
        self::assertSame('ready', $answered['recording_state']);
        self::assertSame('', $answered['wait_seconds'], 'unknown is empty, not zero');
    }

    /** @dataProvider spoilt */
    #[\PHPUnit\Framework\Attributes\DataProvider('spoilt')]
    public function testWhatCannotBeARecordIsRefusedWithAReason(array $change, string $reason): void
    {
        $wire = json_decode((string) file_get_contents(WIRE . '/records.request.json'), true)['records'][0];
        $this->expectException(BadRecord::class);
        $this->expectExceptionMessage($reason);
        CallRecord::fromWire($change + $wire);
    }

    public static function spoilt(): array
    {
        return [
            [['id' => ''], 'id'], [['id' => ['a']], 'id'], [['id' => "a\nb"], 'id'], [['id' => str_repeat('x', 121)], 'id'],
            [['revision' => '5'], 'revision'], [['revision' => 0], 'revision'], [['revision' => 1.5], 'revision'],
            [['direction' => 'sideways'], 'direction'], [['status' => null], 'status'],
            [['started_at' => 'yesterday'], 'started_at'], [['started_at' => null], 'started_at'],
            [['talk_seconds' => -1], 'talk_seconds'], [['talk_seconds' => 'long'], 'talk_seconds'],
            [['lead' => 'yes'], 'lead'], [['client_name' => ['x']], 'client_name'],
            [['recordings' => 'x'], 'recordings'], [['recordings' => [['id' => '../../etc/passwd']]], 'recordings'],
            [['hangup_cause' => 'sixteen'], 'hangup_cause'],
        ];
    }

    public function testHostileAndLongTextsAreCutNotRefused(): void
    {
        $wire = json_decode((string) file_get_contents(WIRE . '/records.request.json'), true)['records'][0];
        $call = CallRecord::fromWire(['client_name' => str_repeat('я', 300), 'menu' => "a\x00b\r\nc😀"] + $wire);
        self::assertSame(200, mb_strlen($call->text('client_name')));
        self::assertSame("a b c\u{FFFD}", $call->text('menu'));
    }

    public function testDurations(): void
    {
        self::assertSame('0:00', CallFields::duration('0'));
        self::assertSame('1:05', CallFields::duration('65'));
        self::assertSame('1:01:01', CallFields::duration('3661'));
        self::assertSame('', CallFields::duration(''));
    }

    public function testAnswersAreRecognisableAndNeverBreakOnBytes(): void
    {
        $json = json_decode(Answer::ok('t', ['x' => "\xff"])->json(), true);
        self::assertSame('Calls', $json['module']);
        self::assertTrue($json['ok']);
        self::assertSame("\u{FFFD}", $json['x']);
    }

    public function testMidCallIds(): void
    {
        $wire = json_decode((string) file_get_contents(WIRE . '/records.request.json'), true)['records'][0];
        self::assertFalse(CallRecord::fromWire($wire)->beganInMidCall());
        self::assertTrue(CallRecord::fromWire(['id' => 'msk-1763805600.17-1001'] + $wire)->beganInMidCall());
    }

    public function testRequestHeadersInAnyCase(): void
    {
        $request = new Request('POST', ['/x'], ['x-pin-key' => ' k '], '');
        self::assertSame('k', $request->header('X-PIN-Key'));
        self::assertSame('', $request->header('X-PIN-Time'));
        self::assertStringContainsString('RuntimeException: oops', Endpoint::inWords(new RuntimeException('oops')));
    }
}

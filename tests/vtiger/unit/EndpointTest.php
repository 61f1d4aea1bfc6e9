<?php

/** The door: every refusal of errors.json, and that a refusal of one request is no refusal of the next. */

declare(strict_types=1);

use PinCalls\Wire\Answer;
use PinCalls\Wire\Endpoint;
use PinCalls\Wire\Request;
use PinCalls\Wire\Signature;

final class EndpointTest extends DatabaseCase
{
    private const PATH = '/modules/Calls/callbacks/Connector.php';

    private function ask(string $body, array $change = []): Answer
    {
        $time = $change['time'] ?? (int) $this->clock->now();
        $nonce = $change['nonce'] ?? bin2hex(random_bytes(16));
        $method = $change['method'] ?? 'POST';
        $secret = $change['secret'] ?? $this->connector->secret;
        $signature = Signature::of($secret, $method, $change['signed_path'] ?? self::PATH, $time, $nonce, $body);
        $headers = $change['headers'] ?? [
            'X-Pin-Key' => $change['key'] ?? 'vtiger', 'X-Pin-Time' => (string) $time, 'X-Pin-Nonce' => $nonce,
            'X-Pin-Signature' => $change['signature'] ?? $signature,
        ];
        $operations = [
            'echo' => static function (array $request, $connector): array {
                return ['key' => $connector->key];
            },
            'break' => static function (): array {
                throw new Error('Call to undefined function foo()');
            },
        ];
        $endpoint = new Endpoint($this->connectors(), $this->clock, $operations);
        return $endpoint->answer(new Request($method, $change['paths'] ?? [self::PATH], $headers, $change['body'] ?? $body));
    }

    private static function codes(Answer $answer): array
    {
        return [$answer->status, $answer->body['error'] ?? 'ok'];
    }

    public function testASignedRequestIsAnswered(): void
    {
        $answer = $this->ask('{"op":"echo"}');
        self::assertSame([200, 'ok'], self::codes($answer));
        self::assertSame('vtiger', $answer->body['key']);
        self::assertSame('2026-11-22T10:00:00.250Z', $answer->body['time']);
    }

    public function testEveryRefusal(): void
    {
        self::assertSame([405, 'method'], self::codes($this->ask('{}', ['method' => 'GET'])));
        self::assertSame([401, 'unsigned'], self::codes($this->ask('{"op":"echo"}', ['headers' => []])));
        self::assertSame([401, 'unsigned'], self::codes($this->ask('{"op":"echo"}', ['nonce' => 'short'])));
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}', ['secret' => 'guess'])));
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}', ['key' => 'nobody'])));
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}', ['body' => '{"op":"break"}'])));
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}', ['signed_path' => '/other'])));
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}', ['signature' => ''])));
        self::assertSame([400, 'bad_request'], self::codes($this->ask('[]')));
        self::assertSame([400, 'bad_request'], self::codes($this->ask('not json')));
        self::assertSame([400, 'unknown_op'], self::codes($this->ask('{"op":"dance"}')));
        self::assertSame([500, 'internal'], self::codes($this->ask('{"op":"break"}')));
        $big = '{"op":"echo","x":"' . str_repeat('x', Endpoint::BODY_BYTES_MAX) . '"}';
        self::assertSame([413, 'too_large'], self::codes($this->ask($big)));
    }

    public function testTheCodesAreThoseOfTheContract(): void
    {
        $known = array_map(static function (array $error): array {
            return [$error['status'], $error['body']['error']];
        }, self::wire('errors.json'));
        foreach ([[401, 'unsigned'], [401, 'bad_signature'], [401, 'clock'], [401, 'nonce'], [403, 'disabled'], [405, 'method'], [413, 'too_large'], [500, 'internal'], [400, 'bad_request'], [400, 'unknown_op'], [503, 'unavailable']] as $used) {
            self::assertContains($used, $known);
        }
    }

    public function testTheWindowOfTimeHasTwoEnds(): void
    {
        $now = (int) $this->clock->now();
        self::assertSame(200, $this->ask('{"op":"echo"}', ['time' => $now - 300])->status);
        self::assertSame(200, $this->ask('{"op":"echo"}', ['time' => $now + 300])->status);
        $late = $this->ask('{"op":"echo"}', ['time' => $now - 301]);
        self::assertSame([401, 'clock'], self::codes($late));
        self::assertStringContainsString('2026-11-22T09:54:59Z', $late->body['message']);
        self::assertStringContainsString('2026-11-22T10:00:00Z', $late->body['message']);
        self::assertSame([401, 'clock'], self::codes($this->ask('{"op":"echo"}', ['time' => $now + 301])));
    }

    public function testClocksAreToldToNobodyWithoutTheSecret(): void
    {
        $answer = $this->ask('{"op":"echo"}', ['time' => 5, 'secret' => 'guess']);
        self::assertSame([401, 'bad_signature'], self::codes($answer));
    }

    public function testANonceIsGoodOnceInTenMinutes(): void
    {
        $nonce = str_repeat('ab', 16);
        self::assertSame(200, $this->ask('{"op":"echo"}', ['nonce' => $nonce])->status);
        self::assertSame([401, 'nonce'], self::codes($this->ask('{"op":"echo"}', ['nonce' => $nonce])));
        self::assertSame([401, 'nonce'], self::codes($this->ask('{"op":"echo"}', ['nonce' => strtoupper($nonce)])));
        $this->clock->at += 601;
        self::assertSame(200, $this->ask('{"op":"echo"}', ['nonce' => $nonce])->status);
    }

    public function testASwitchedOffConnectorIsToldSo(): void
    {
        $this->connector->enabled = false;
        $this->connectors()->change($this->connector);
        self::assertSame([403, 'disabled'], self::codes($this->ask('{"op":"echo"}')));
    }

    public function testAPathThatAProxyShortenedIsTakenToo(): void
    {
        $paths = [self::PATH, '/crm' . self::PATH];
        self::assertSame(200, $this->ask('{"op":"echo"}', ['paths' => $paths, 'signed_path' => '/crm' . self::PATH])->status);
    }

    public function testAnEmptySecretSignsNothing(): void
    {
        $this->connector->secret = '';
        $this->connectors()->change($this->connector);
        self::assertSame([401, 'bad_signature'], self::codes($this->ask('{"op":"echo"}')));
    }
}

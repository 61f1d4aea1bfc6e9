<?php

/**
 * The door of callbacks/Connector.php: checks method, size, signature, window and nonce, finds the operation and turns whatever
 * it does into an answer. Knows nothing of what the operations mean.
 */

declare(strict_types=1);

namespace PinCalls\Wire;

use PinCalls\Clock;
use PinCalls\Settings\Connectors;

final class Endpoint
{
    public const BODY_BYTES_MAX = 4194304;
    public const RECORDS_MAX = 100;

    private Connectors $connectors;
    private Clock $clock;
    /** @var array<string, callable(array<string, mixed>, \PinCalls\Settings\Connector): array<string, mixed>> */
    private array $operations;

    /** @param array<string, callable> $operations by name */
    public function __construct(Connectors $connectors, Clock $clock, array $operations)
    {
        $this->connectors = $connectors;
        $this->clock = $clock;
        $this->operations = $operations;
    }

    public function answer(Request $request): Answer
    {
        try {
            return Answer::ok($this->clock->wire(), $this->facts($request));
        } catch (Refusal $refusal) {
            return Answer::error($refusal->status, $this->clock->wire(), $refusal->error, $refusal->getMessage());
        } catch (\Throwable $fault) {
            return Answer::error(500, $this->clock->wire(), 'internal', self::inWords($fault));
        }
    }

    /** A fault in one line, with where it happened: what an administrator pastes into a report. */
    public static function inWords(\Throwable $fault): string
    {
        $where = basename($fault->getFile()) . ':' . $fault->getLine();
        return 'vTiger stopped: ' . get_class($fault) . ': ' . mb_substr($fault->getMessage(), 0, 500) . " ($where)";
    }

    /** @return array<string, mixed> */
    private function facts(Request $request): array
    {
        if ($request->method !== 'POST') {
            throw new Refusal(405, 'method', 'POST only.');
        }
        if (strlen($request->body) > self::BODY_BYTES_MAX) {
            throw self::tooLarge();
        }
        $connector = $this->signer($request);
        $body = json_decode($request->body, true, 64);
        if (!is_array($body) || !is_string($body['op'] ?? null)) {
            throw new Refusal(400, 'bad_request', 'The body is not a JSON object with "op".');
        }
        if (!isset($this->operations[$body['op']])) {
            throw new Refusal(400, 'unknown_op', 'This module knows no operation "' . mb_substr($body['op'], 0, 40) . '".');
        }
        return ($this->operations[$body['op']])($body, $connector);
    }

    public static function tooLarge(): Refusal
    {
        $message = sprintf('At most %d records and %d bytes in one request.', self::RECORDS_MAX, self::BODY_BYTES_MAX);
        return new Refusal(413, 'too_large', $message);
    }

    private function signer(Request $request): \PinCalls\Settings\Connector
    {
        $key = $request->header('X-PIN-Key');
        $time = $request->header('X-PIN-Time');
        $nonce = $request->header('X-PIN-Nonce');
        $signature = strtolower($request->header('X-PIN-Signature'));
        if ($key === '' || !preg_match('/^\d{1,12}$/', $time) || !preg_match('/^[0-9a-fA-F]{32}$/', $nonce)) {
            throw new Refusal(401, 'unsigned', 'X-PIN-Key, X-PIN-Time, X-PIN-Nonce and X-PIN-Signature are required.');
        }
        $connector = $this->connectors->byKey($key);
        if ($connector === null || !$this->isSignedBy($connector->secret, $request, (int) $time, $nonce, $signature)) {
            $name = mb_substr((string) preg_replace('/[^\w.-]/u', '?', $key), 0, 40);
            throw new Refusal(401, 'bad_signature', "No connector \"$name\" with this secret.");
        }
        // Both clocks are told to the holder of the secret only, so this check comes after the signature.
        $now = (int) $this->clock->now();
        if (abs($now - (int) $time) > Signature::WINDOW_SECONDS) {
            $yours = gmdate('Y-m-d\TH:i:s\Z', (int) $time);
            $ours = gmdate('Y-m-d\TH:i:s\Z', $now);
            $window = Signature::WINDOW_SECONDS;
            throw new Refusal(401, 'clock', "Your clock says $yours, ours $ours: more than $window s apart.");
        }
        if (!$this->connectors->nonceIsNew($connector, strtolower($nonce), $now)) {
            $seconds = Signature::NONCE_SECONDS;
            throw new Refusal(401, 'nonce', "This nonce was used within the last $seconds s.");
        }
        if (!$connector->enabled) {
            throw new Refusal(403, 'disabled', "This connector is switched off in the module's settings.");
        }
        return $connector;
    }

    private function isSignedBy(string $secret, Request $request, int $time, string $nonce, string $signature): bool
    {
        $signed = false;
        foreach ($request->paths as $path) {
            $expected = Signature::of($secret, $request->method, $path, $time, $nonce, $request->body);
            $signed = hash_equals($expected, $signature) || $signed;
        }
        return $secret !== '' && $signed;
    }
}

<?php

/** Our signed requests to a connector. A browser's user waits for each of them, so they are short of time. */

declare(strict_types=1);

namespace PinCalls\Click;

use PinCalls\Clock;
use PinCalls\Settings\Connector;
use PinCalls\Settings\RequestLog;
use PinCalls\Wire\Signature;

class ConnectorClient
{
    private const CONNECT_MS = 1500;
    private const TOTAL_MS = 4000;
    private const ANSWER_BYTES_MAX = 65536;

    private RequestLog $log;
    private Clock $clock;

    public function __construct(RequestLog $log, Clock $clock)
    {
        $this->log = $log;
        $this->clock = $clock;
    }

    /**
     * @param array<string, mixed>|null $body
     * @return array{status: int, body: array<string, mixed>, fault: string} status 0: it could not be reached, fault says why
     */
    public function ask(Connector $connector, string $method, string $path, ?array $body = null): array
    {
        $json = $body === null ? '' : (string) json_encode($body, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
        $began = microtime(true);
        $text = '';
        $handle = curl_init($connector->url . $path);
        curl_setopt_array($handle, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => $this->headers($connector, $method, $path, $json),
            CURLOPT_CONNECTTIMEOUT_MS => self::CONNECT_MS,
            CURLOPT_TIMEOUT_MS => self::TOTAL_MS,
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_WRITEFUNCTION => static function ($handle, string $bytes) use (&$text): int {
                $text .= $bytes;
                return strlen($text) > self::ANSWER_BYTES_MAX ? -1 : strlen($bytes);
            },
        ]);
        if ($json !== '') {
            curl_setopt($handle, CURLOPT_POSTFIELDS, $json);
        }
        curl_exec($handle);
        $fault = curl_error($handle);
        $status = $fault === '' ? (int) curl_getinfo($handle, CURLINFO_RESPONSE_CODE) : 0;
        curl_close($handle);
        $tookMs = (int) ((microtime(true) - $began) * 1000);
        $what = "$method $path";
        $this->log->write($connector->id, 'out', $what, $status, $tookMs, $json, $fault === '' ? $text : $fault);
        $answer = json_decode($text, true);
        return ['status' => $status, 'body' => is_array($answer) ? $answer : [], 'fault' => $fault];
    }

    /** @return list<string> */
    public function headers(Connector $connector, string $method, string $path, string $body): array
    {
        // What is signed is the path of the request line: a connector behind a proxy's prefix has it in its url.
        $prefix = (string) parse_url($connector->url, PHP_URL_PATH);
        $headers = ['Content-Type: application/json', 'Accept: application/json', 'Expect:'];
        $signed = Signature::headers(
            $connector->key,
            $connector->secret,
            $method,
            $prefix . $path,
            $body,
            (int) $this->clock->now()
        );
        foreach ($signed as $name => $value) {
            $headers[] = "$name: $value";
        }
        return $headers;
    }
}

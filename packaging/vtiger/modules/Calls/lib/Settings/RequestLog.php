<?php

/** The last requests in both directions with their bodies, for the settings page. Secrets never get here: they are in no body. */

declare(strict_types=1);

namespace PinCalls\Settings;

use PinCalls\Clock;
use PinCalls\Db;

class RequestLog
{
    private const BODY_BYTES = 8000;
    /** Of each connector; a busy one would fill the disk within the days that the log is kept. */
    private const LINES_MAX = 5000;
    /** Every so many lines the oldest go, also where vTiger's cron does not run. */
    private const LINES_BETWEEN_CUTS = 100;
    /** Anybody can send a wrong signature: one in so many seconds is enough to see that somebody does. */
    private const REFUSED_EVERY_SECONDS = 10;

    private Db $db;
    private Clock $clock;

    public function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
    }

    /** @param string $direction `in` from the connector, `out` to it */
    public function write(
        int $connectorId,
        string $direction,
        string $what,
        int $status,
        int $tookMs,
        string $request,
        string $answer
    ): void {
        $this->db->execute(
            'INSERT INTO vtiger_calls_log (connector_id, direction, what, at, status, took_ms, request, answer)'
            . ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
            [
                $connectorId, $direction, mb_substr($what, 0, 100), (int) $this->clock->now(), $status, $tookMs,
                self::shown($request), self::shown($answer),
            ]
        );
        if ($this->db->lastId() % self::LINES_BETWEEN_CUTS === 0) {
            $this->cut($connectorId);
        }
    }

    /** A request in the connector's name that was not signed by it: told now and then, and without what it said. */
    public function writeRefused(int $connectorId, int $tookMs, string $answer): void
    {
        $rows = $this->db->rows(
            'SELECT MAX(at) AS last FROM vtiger_calls_log WHERE connector_id = ? AND status = 401',
            [$connectorId]
        );
        if ((int) $this->clock->now() - (int) ($rows[0]['last'] ?? 0) >= self::REFUSED_EVERY_SECONDS) {
            $this->write($connectorId, 'in', '?', 401, $tookMs, '', $answer);
        }
    }

    private function cut(int $connectorId): void
    {
        $rows = $this->db->rows(
            'SELECT id FROM vtiger_calls_log WHERE connector_id = ? ORDER BY id DESC LIMIT 1 OFFSET ' . self::LINES_MAX,
            [$connectorId]
        );
        if ($rows !== []) {
            $sql = 'DELETE FROM vtiger_calls_log WHERE connector_id = ? AND id <= ? LIMIT 1000';
            $this->db->execute($sql, [$connectorId, (int) $rows[0]['id']]);
        }
    }

    /** @return list<array<string, mixed>> newest first */
    public function last(int $connectorId, int $limit): array
    {
        $limit = max(1, min(500, $limit));
        return $this->db->rows(
            'SELECT id, direction, what, at, status, took_ms, request, answer FROM vtiger_calls_log'
            . " WHERE connector_id = ? ORDER BY id DESC LIMIT $limit",
            [$connectorId]
        );
    }

    public function trim(int $days): void
    {
        $oldest = (int) $this->clock->now() - $days * 86400;
        $this->db->execute('DELETE FROM vtiger_calls_log WHERE at < ? LIMIT 20000', [$oldest]);
    }

    private static function shown(string $body): string
    {
        // Up to the end of the text where it is cut off; a quote behind a backslash is part of the secret.
        $secret = '/("[\w-]{0,40}(?:secret|password|token|signature|access_?key)"\s*:\s*")(?:[^"\\\\]++|\\\\.)*+("?)/is';
        $masked = (string) preg_replace($secret, '$1***$2', mb_scrub($body, 'UTF-8'));
        // The column is utf8mb3.
        $masked = (string) preg_replace('/[\x{10000}-\x{10FFFF}]/u', "\u{FFFD}", $masked);
        return mb_strcut($masked, 0, self::BODY_BYTES);
    }
}

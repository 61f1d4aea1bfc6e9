<?php

/** The table of connectors, and the nonces each has used. */

declare(strict_types=1);

namespace PinCalls\Settings;

use PinCalls\Db;
use PinCalls\Wire\Signature;

class Connectors
{
    private Db $db;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    public function byKey(string $key): ?Connector
    {
        return $this->first('wire_key = ?', [$key]);
    }

    public function byId(int $id): ?Connector
    {
        return $this->first('id = ?', [$id]);
    }

    /** @return list<Connector> in the order in which they were made */
    public function all(): array
    {
        $rows = $this->db->rows('SELECT * FROM vtiger_calls_connector ORDER BY id');
        return array_map([Connector::class, 'fromRow'], $rows);
    }

    /** @return list<Connector> */
    public function enabled(): array
    {
        return array_values(array_filter($this->all(), static function (Connector $one): bool {
            return $one->enabled;
        }));
    }

    /** Remembers the nonce; false if this connector used it within the last ten minutes. */
    public function nonceIsNew(Connector $connector, string $nonce, int $now): bool
    {
        $this->db->execute(
            'DELETE FROM vtiger_calls_nonce WHERE seen_at < ? LIMIT 500',
            [$now - Signature::NONCE_SECONDS]
        );
        $sql = 'INSERT IGNORE INTO vtiger_calls_nonce (connector_id, nonce, seen_at) VALUES (?, ?, ?)';
        return $this->db->execute($sql, [$connector->id, $nonce, $now]) === 1;
    }

    public function add(string $name, string $key, string $url): Connector
    {
        $this->db->execute(
            'INSERT INTO vtiger_calls_connector (name, wire_key, secret, url, enabled, reachable, heartbeat, heard_at)'
            . ' VALUES (?, ?, ?, ?, 1, 0, ?, 0)',
            [$name, $key, self::newSecret(), rtrim($url, '/'), '{}']
        );
        $connector = $this->byId($this->db->lastId());
        if ($connector === null) {
            throw new \PinCalls\DbFault('the connector was written and cannot be read back');
        }
        return $connector;
    }

    public function change(Connector $connector): void
    {
        $this->db->execute(
            'UPDATE vtiger_calls_connector SET name = ?, wire_key = ?, secret = ?, url = ?, enabled = ?, reachable = ?'
            . ' WHERE id = ?',
            [
                $connector->name, $connector->key, $connector->secret, rtrim($connector->url, '/'),
                $connector->enabled ? 1 : 0, $connector->reachable ? 1 : 0, $connector->id,
            ]
        );
    }

    public function remove(int $id): void
    {
        foreach (['vtiger_calls_nonce', 'vtiger_calls_command', 'vtiger_calls_log'] as $table) {
            $this->db->execute("DELETE FROM $table WHERE connector_id = ?", [$id]);
        }
        $this->db->execute('DELETE FROM vtiger_calls_connector WHERE id = ?', [$id]);
    }

    /** @param array<string, mixed> $heartbeat */
    public function heard(Connector $connector, array $heartbeat, int $now): void
    {
        $this->db->execute(
            'UPDATE vtiger_calls_connector SET heartbeat = ?, heard_at = ? WHERE id = ?',
            [(string) json_encode($heartbeat, JSON_UNESCAPED_UNICODE), $now, $connector->id]
        );
    }

    public static function newSecret(): string
    {
        return bin2hex(random_bytes(20));
    }

    /** @param list<mixed> $params */
    private function first(string $condition, array $params): ?Connector
    {
        $rows = $this->db->rows("SELECT * FROM vtiger_calls_connector WHERE $condition", $params);
        return isset($rows[0]) ? Connector::fromRow($rows[0]) : null;
    }
}

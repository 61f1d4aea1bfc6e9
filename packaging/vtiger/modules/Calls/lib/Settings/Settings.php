<?php

/** The module's settings that are neither a connector nor a row of a table of their own: name and value. */

declare(strict_types=1);

namespace PinCalls\Settings;

use PinCalls\Db;

class Settings
{
    /** Every setting with its default; what is not here is not a setting. */
    public const DEFAULTS = [
        // Which module wins when several clients have one number, the first of the list first.
        'client_modules' => ['Contacts', 'Accounts', 'Leads'],
        // Among clients of one module: the one changed last (newest) or the one made first (oldest).
        'client_among_equals' => 'newest',
        // What becomes of a caller nobody knows, without anybody's doing: a record of this module; empty: nothing.
        'create_client' => '',
        // Numbers that clients may see when they are called; none: any.
        'caller_ids' => [],
        'default_group' => 0,
        'log_days' => 7,
        // Hours after which an extension taken for today is given back without a page of its user, and the hour of the night.
        'seat_idle_hours' => 12,
        'seat_end_hour' => 3,
        'remove_data_on_uninstall' => false,
        // Digits compared where no E.164 can be made; the connector's heartbeat sets region and digits.
        'region' => '',
        'area_code' => '',
        'last_digits' => 7,
        'phones_filled_to' => 0,
        'popup' => true,
        'alarm_sent' => [],
    ];

    private Db $db;
    /** @var array<string, mixed>|null */
    private ?array $values = null;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    /** @return mixed */
    public function get(string $name)
    {
        if (!array_key_exists($name, self::DEFAULTS)) {
            throw new \LogicException("$name is no setting of this module");
        }
        return $this->values()[$name] ?? self::DEFAULTS[$name];
    }

    /** @param mixed $value */
    public function set(string $name, $value): void
    {
        if (!array_key_exists($name, self::DEFAULTS)) {
            throw new \LogicException("$name is no setting of this module");
        }
        $this->db->execute(
            'INSERT INTO vtiger_calls_setting (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)',
            [$name, (string) json_encode($value, JSON_UNESCAPED_UNICODE)]
        );
        $this->values = null;
    }

    /** @return array<string, mixed> */
    private function values(): array
    {
        if ($this->values === null) {
            $this->values = [];
            foreach ($this->db->rows('SELECT name, value FROM vtiger_calls_setting') as $row) {
                $this->values[(string) $row['name']] = json_decode((string) $row['value'], true);
            }
        }
        return $this->values;
    }
}

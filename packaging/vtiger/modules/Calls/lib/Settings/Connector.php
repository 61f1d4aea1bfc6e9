<?php

/** One connector as the settings page has it. */

declare(strict_types=1);

namespace PinCalls\Settings;

final class Connector
{
    public int $id;
    public string $name;
    public string $key;
    public string $secret;
    /** Where the connector's HTTP interface is, without a slash at the end; empty: it cannot be reached from here. */
    public string $url;
    public bool $enabled;
    /** Whether the last test from here to there succeeded; else click-to-call goes through `commands`. */
    public bool $reachable;
    /** @var array<string, mixed> the last heartbeat as it came */
    public array $heartbeat;
    /** Unix seconds; 0: never heard of. */
    public int $heardAt;

    /** @param array<string, mixed> $row of vtiger_calls_connector */
    public static function fromRow(array $row): self
    {
        $connector = new self();
        $connector->id = (int) $row['id'];
        $connector->name = (string) $row['name'];
        $connector->key = (string) $row['wire_key'];
        $connector->secret = (string) $row['secret'];
        $connector->url = rtrim((string) $row['url'], '/');
        $connector->enabled = (bool) (int) $row['enabled'];
        $connector->reachable = (bool) (int) $row['reachable'];
        $heartbeat = json_decode((string) $row['heartbeat'], true);
        $connector->heartbeat = is_array($heartbeat) ? $heartbeat : [];
        $connector->heardAt = (int) $row['heard_at'];
        return $connector;
    }

    /** @return list<string> names of its PBXs, as far as a heartbeat told them */
    public function pbxs(): array
    {
        $names = [];
        foreach ($this->links() as $link) {
            $names[] = $link['pbx'];
        }
        return $names;
    }

    /** @return list<array<string, mixed>> the heartbeat's `pbxs`, each with a text `pbx` and a flag `up` */
    public function links(): array
    {
        $links = [];
        foreach (is_array($this->heartbeat['pbxs'] ?? null) ? $this->heartbeat['pbxs'] : [] as $link) {
            if (is_array($link) && is_string($link['pbx'] ?? null)) {
                $link['up'] = ($link['up'] ?? false) === true;
                $links[] = $link;
            }
        }
        return $links;
    }
}

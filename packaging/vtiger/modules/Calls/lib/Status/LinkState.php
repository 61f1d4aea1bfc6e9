<?php

/** Whether the telephony works just now, as far as the heartbeats tell: for the bar, for click-to-call and for the alarm. */

declare(strict_types=1);

namespace PinCalls\Status;

use PinCalls\Clock;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;

class LinkState
{
    public const SILENT_AFTER_SECONDS = 120;

    private Connectors $connectors;
    private Clock $clock;

    public function __construct(Connectors $connectors, Clock $clock)
    {
        $this->connectors = $connectors;
        $this->clock = $clock;
    }

    /** @return int unix seconds since when nothing is heard of it; 0: it is alive */
    public function silentSince(Connector $connector): int
    {
        $age = (int) $this->clock->now() - $connector->heardAt;
        return $age > self::SILENT_AFTER_SECONDS ? max(1, $connector->heardAt) : 0;
    }

    /** @return int unix seconds since when that PBX has no link; 0: it has one, or nobody knows it */
    public function downSince(Connector $connector, string $pbx): int
    {
        foreach ($connector->links() as $link) {
            if ($link['pbx'] === $pbx && !$link['up']) {
                $since = is_string($link['since'] ?? null) ? Clock::fromWire($link['since']) : null;
                return max(1, (int) ($since ?? $connector->heardAt));
            }
        }
        return 0;
    }

    /**
     * What does not work, for somebody of this PBX (empty: of any).
     *
     * @param list<int> $connectorIds those that concern him; empty: all
     * @return list<array{connector: string, pbx: string, since: int}> pbx empty: the whole connector
     */
    public function faults(array $connectorIds, string $pbx): array
    {
        $faults = [];
        foreach ($this->connectors->enabled() as $connector) {
            // One that was never heard of is not broken but not set up yet.
            if ($connector->heardAt === 0 || ($connectorIds !== [] && !in_array($connector->id, $connectorIds, true))) {
                continue;
            }
            $silent = $this->silentSince($connector);
            if ($silent > 0) {
                $faults[] = ['connector' => $connector->name, 'pbx' => '', 'since' => $silent];
                continue;
            }
            foreach ($connector->pbxs() as $name) {
                $down = $pbx === '' || $pbx === $name ? $this->downSince($connector, $name) : 0;
                if ($down > 0) {
                    $faults[] = ['connector' => $connector->name, 'pbx' => $name, 'since' => $down];
                }
            }
        }
        return $faults;
    }
}

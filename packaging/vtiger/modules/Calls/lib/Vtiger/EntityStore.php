<?php

/**
 * Calls as vTiger entities: everything goes through CRMEntity::save, so that events, workflows, history and sharing work as for any
 * record, and only changed fields are written.
 */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Record\CallStore;

final class EntityStore implements CallStore
{
    public const MODULE = 'Calls';

    public function create(array $fields): int
    {
        $call = $this->fresh();
        foreach ($fields as $name => $value) {
            $call->column_fields[$name] = (string) $value;
        }
        $call->column_fields['source'] = 'PBX';
        $call->save(self::MODULE);
        if (!(int) $call->id) {
            throw new \RuntimeException('vTiger made no record and did not say why');
        }
        return (int) $call->id;
    }

    public function update(int $crmId, array $fields): bool
    {
        $call = $this->loaded($crmId);
        if ($call === null) {
            return false;
        }
        $changed = false;
        foreach ($fields as $name => $value) {
            if (!self::same((string) $call->column_fields[$name], (string) $value)) {
                $call->column_fields[$name] = (string) $value;
                $changed = true;
            }
        }
        if ($changed) {
            $call->mode = 'edit';
            $call->save(self::MODULE);
        }
        return true;
    }

    public function remove(int $crmId): void
    {
        $call = $this->loaded($crmId);
        if ($call !== null) {
            $call->trash(self::MODULE, $crmId);
        }
    }

    public function stored(int $crmId): ?array
    {
        $call = $this->loaded($crmId);
        if ($call === null) {
            return null;
        }
        $stored = [];
        foreach ($call->column_fields as $name => $value) {
            $stored[$name] = self::plain((string) $value);
        }
        return $stored;
    }

    /** @return \Calls */
    private function fresh()
    {
        return \CRMEntity::getInstance(self::MODULE);
    }

    /** @return \Calls|null */
    private function loaded(int $crmId)
    {
        $call = $this->fresh();
        try {
            $call->retrieve_entity_info($crmId, self::MODULE);
        } catch (\Exception $gone) {
            return null;
        }
        $call->id = $crmId;
        return $call;
    }

    private static function same(string $stored, string $new): bool
    {
        $stored = self::plain($stored);
        // Empty dates, references and numbers come back from the table as NULL or 0.
        $empty = ['', '0', '0000-00-00 00:00:00'];
        return $stored === $new || (in_array($stored, $empty, true) && in_array($new, $empty, true));
    }

    /** CRMEntity gives what is stored with HTML entities. */
    private static function plain(string $value): string
    {
        return html_entity_decode($value, ENT_QUOTES, 'UTF-8');
    }
}

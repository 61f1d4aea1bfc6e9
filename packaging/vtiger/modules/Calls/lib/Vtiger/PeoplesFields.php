<?php

/** Takes out of a form what the exchange said: whatever a browser sends, it changes only what is people's to change. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Install\Schema;

final class PeoplesFields
{
    /** @param \Vtiger_Request $request of Save, SaveAjax or MassSave */
    public static function only($request): void
    {
        if ($request->getModule() !== Schema::MODULE) {
            return;
        }
        foreach (array_keys(Schema::fields()) as $name) {
            if (!in_array($name, Schema::EDITABLE, true)) {
                $request->set($name, null);
                if ($request->get('field') === $name) {
                    $request->set('field', '');
                }
            }
        }
    }

    /** Calls are made by the exchange alone. */
    public static function existing($request): void
    {
        if (!(int) $request->get('record')) {
            throw new \AppException(vtranslate('LBL_PERMISSION_DENIED'));
        }
    }
}

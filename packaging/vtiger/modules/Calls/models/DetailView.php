<?php

/** The card's buttons: no duplicate, and closing a follow-up where there is one. */
class Calls_DetailView_Model extends Vtiger_DetailView_Model
{
    public function getDetailViewLinks($linkParams)
    {
        $links = parent::getDetailViewLinks($linkParams);
        $unwanted = static function ($link): bool {
            return $link->getLabel() !== 'LBL_DUPLICATE';
        };
        foreach (['DETAILVIEW', 'DETAILVIEWBASIC'] as $type) {
            $links[$type] = array_values(array_filter($links[$type] ?? [], $unwanted));
        }
        $record = $this->getRecord();
        if (in_array($record->get('call_follow_up'), ['open', 'tried'], true)) {
            $links['DETAILVIEWBASIC'][] = Vtiger_Link_Model::getInstanceFromValues([
                'linktype' => 'DETAILVIEWBASIC',
                'linklabel' => 'LBL_CLOSE_FOLLOW_UP',
                'linkurl' => 'javascript:PinCalls.closeFollowUp(' . (int) $record->getId() . ')',
                'linkicon' => '',
            ]);
        }
        return $links;
    }
}
